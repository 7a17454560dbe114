// Pooling for an attention block whose input no depthwise convolution writes.
#include "engine/step_builder.h"
#include "engine/steps/pooling.h"

namespace lpn {
namespace {

class PoolStep final : public Step {
 public:
  PoolStep(Info info, const Operation& operation, RowChunks rows, const Shape& shape,
           const Pooling& pooling)
      : Step(std::move(info)),
        operation_(operation),
        rows_(rows),
        shape_(shape),
        pooling_(pooling) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int worker) const override {
    const std::int64_t begin = rows_.begin(chunk) * shape_.w;
    pooling_.run(context.tensor(operation_.input) + begin * shape_.c,
                 rows_.end(chunk) * shape_.w - begin, chunk, context.tensor(operation_.partials),
                 context.scratch_of(worker));
  }

 private:
  const Operation operation_;
  const RowChunks rows_;
  const Shape shape_;
  const Pooling pooling_;
};

}  // namespace

std::unique_ptr<Step> make_pool_step(const Operation& operation, StepBuilder& builder) {
  constexpr double kRelativeCost = 16;  // four operations per float read
  const Shape& in = builder.shape(operation.input);
  const RowChunks rows = cut_rows(in.h, kRelativeCost * static_cast<double>(in.size()));
  const Pooling pooling(operation, operation.input, rows.count(), rows.rows_per_chunk * in.w,
                        builder);
  Step::Info info;
  info.name = operation.node->name;
  info.kernel = pooling.kernel();
  info.isa = pooling.isa();
  info.chunks = rows.count();
  info.flops = pooling.flops_per_position() * static_cast<double>(in.positions());
  info.bytes = builder.traffic(operation, pooling.weight_count());
  info.scratch = pooling.scratch();
  return std::make_unique<PoolStep>(std::move(info), operation, rows, in, pooling);
}

}  // namespace lpn
