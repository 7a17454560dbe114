// Max pooling by output rows.
#include "engine/step_builder.h"
#include "kernels/max_pool/max_pool.h"

namespace lpn {
namespace {

class MaxPoolStep final : public Step {
 public:
  MaxPoolStep(Info info, const Operation& operation, MaxPoolFn run, RowChunks rows,
              const MaxPoolArgs& args)
      : Step(std::move(info)), operation_(operation), run_(run), rows_(rows), args_(args) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int) const override {
    MaxPoolArgs args = args_;
    args.row_begin = rows_.begin(chunk);
    args.row_end = rows_.end(chunk);
    args.in = context.tensor(operation_.input);
    args.out = context.tensor(operation_.output) + args.row_begin * args.out_w * args.c;
    run_(args);
  }

 private:
  const Operation operation_;
  const MaxPoolFn run_;
  const RowChunks rows_;
  const MaxPoolArgs args_;
};

}  // namespace

std::unique_ptr<Step> make_max_pool_step(const Operation& operation, StepBuilder& builder) {
  constexpr double kRelativeCost = 8;  // as of a depthwise convolution
  const Attributes& attributes = operation.node->attributes;
  const Shape& in = builder.shape(operation.input);
  const Shape& out = builder.shape(operation.output);
  const Variant<MaxPoolFn>& variant = select_max_pool(builder.isa);

  MaxPoolArgs args{};
  args.in_h = in.h;
  args.in_w = in.w;
  args.c = in.c;
  args.out_w = out.w;
  args.kernel = attributes.kernel;
  args.stride = attributes.stride;
  args.padding = attributes.padding;

  Step::Info info;
  info.name = operation.node->name;
  info.kernel = variant.name;
  info.isa = variant.isa;
  info.flops = static_cast<double>(out.size()) * static_cast<double>(args.kernel * args.kernel);
  info.bytes = builder.traffic(operation, 0);
  const RowChunks rows = cut_rows(out.h, kRelativeCost * info.flops);
  info.chunks = rows.count();
  return std::make_unique<MaxPoolStep>(std::move(info), operation, variant.run, rows, args);
}

}  // namespace lpn
