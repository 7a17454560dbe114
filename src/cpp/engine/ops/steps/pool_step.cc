// Pooling of a map that no operation pools while it writes it.
#include "engine/ops/attention.h"
#include "engine/plan/step_builder.h"

namespace lpn {
namespace {

template <class T>
class PoolStep final : public Step {
 public:
  PoolStep(Info info, const Pool& pool, RowChunks rows, const Shape& shape,
           std::shared_ptr<const Pooling> pooling)
      : Step(std::move(info)),
        input_(pool.input),
        partials_(pool.partials),
        rows_(rows),
        shape_(shape),
        pooling_(std::move(pooling)) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int worker) const override {
    const std::int64_t begin = rows_.begin(chunk) * shape_.w;
    pooling_->run(context.tensor<T>(input_) + begin * shape_.c, rows_.end(chunk) * shape_.w - begin,
                  context.tensor<float>(partials_) + chunk * pooling_->info().partial_size,
                  context.scratch_of<float>(worker));
  }

 private:
  const int input_, partials_;
  const RowChunks rows_;
  const Shape shape_;
  const std::shared_ptr<const Pooling> pooling_;
};

}  // namespace

void Pool::declare_partials(const Pooling& pooling, std::int64_t chunks, std::int64_t positions,
                            std::int64_t channels, StepBuilder& builder) const {
  const auto tensor = static_cast<std::size_t>(partials);
  builder.shapes[tensor] = {1, chunks, pooling.info().partial_size};
  builder.pooled[tensor] = {chunks, positions, channels, builder.quantization(input)};
}

std::unique_ptr<Step> Pool::make_step(StepBuilder& builder) const {
  constexpr double kRelativeCost = 16;  // four operations per float read
  const Shape& in = builder.shape(input);
  const RowChunks rows = cut_rows(in.h, kRelativeCost * static_cast<double>(in.size()));
  std::shared_ptr<const Pooling> pooling = make_pooling(in.c, builder);
  declare_partials(*pooling, rows.count(), in.positions(), in.c, builder);
  Step::Info info;
  info.name = node->name;
  info.kernel = pooling->info().kernel;
  info.isa = pooling->info().isa;
  info.chunks = rows.count();
  info.flops = flops(in.c) * static_cast<double>(in.positions());
  info.bytes = builder.traffic(*this, pooling->info().weight_bytes);
  info.scratch_bytes =
      bytes_of<float>(rows.rows_per_chunk * in.w * pooling->info().scratch_per_position);
  return with_any_elements(builder.type(input), [&](auto zero) -> std::unique_ptr<Step> {
    return std::make_unique<PoolStep<decltype(zero)>>(std::move(info), *this, rows, in,
                                                      std::move(pooling));
  });
}

}  // namespace lpn
