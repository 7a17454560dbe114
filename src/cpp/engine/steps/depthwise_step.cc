// Depthwise convolution by output rows, pooled for an attention block while its result is in cache.
#include <optional>

#include "engine/step_builder.h"
#include "engine/steps/pooling.h"
#include "kernels/depthwise/depthwise.h"

namespace lpn {
namespace {

class DepthwiseStep final : public Step {
 public:
  DepthwiseStep(Info info, const Operation& operation, DepthwiseFn run, RowChunks rows,
                const DepthwiseArgs& args, const std::optional<Pooling>& pooling)
      : Step(std::move(info)),
        operation_(operation),
        run_(run),
        rows_(rows),
        args_(args),
        pooling_(pooling) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int worker) const override {
    DepthwiseArgs args = args_;
    args.row_begin = rows_.begin(chunk);
    args.row_end = rows_.end(chunk);
    args.in = context.tensor(operation_.input);
    args.out = context.tensor(operation_.output) + args.row_begin * args.out_w * args.c;
    run_(args);
    if (!pooling_) return;
    pooling_->run(args.out, (args.row_end - args.row_begin) * args.out_w, chunk,
                  context.tensor(operation_.partials), context.scratch_of(worker));
  }

 private:
  const Operation operation_;
  const DepthwiseFn run_;
  const RowChunks rows_;
  const DepthwiseArgs args_;
  const std::optional<Pooling> pooling_;
};

}  // namespace

std::unique_ptr<Step> make_depthwise_step(const Operation& operation, StepBuilder& builder) {
  // Loads and stores, not arithmetic, take the time: an operation costs this many of a matrix
  // product's.
  constexpr double kRelativeCost = 8;
  const Node& node = *operation.node;
  const Weight& w = node.weight("weight");
  const Shape& in = builder.shape(operation.input);
  const Shape& out = builder.shape(operation.output);
  const Variant<DepthwiseFn>& variant = select_depthwise(builder.isa);

  DepthwiseArgs args{};
  args.in_h = in.h;
  args.in_w = in.w;
  args.c = in.c;
  args.out_w = out.w;
  args.kh = w.shape[2];
  args.kw = w.shape[3];
  args.stride = node.attributes.stride;
  args.padding = node.attributes.padding;
  args.bias = node.bias();
  args.activation = operation.activation;
  args.w = builder.weights.get(
      node.name + "/depthwise", args.kh * args.kw * in.c,
      [&](float* packed) { pack_depthwise(w.data(), args.kh, args.kw, in.c, packed); });

  Step::Info info;
  info.name = node.name;
  info.kernel = variant.name;
  info.isa = variant.isa;
  info.flops = 2.0 * static_cast<double>(out.size()) * static_cast<double>(args.kh * args.kw);
  const RowChunks rows = cut_rows(out.h, kRelativeCost * info.flops);
  info.chunks = rows.count();
  std::optional<Pooling> pooling;
  if (operation.attention != nullptr) {
    pooling.emplace(operation, operation.output, info.chunks, rows.rows_per_chunk * out.w, builder);
    info.scratch = pooling->scratch();
    info.flops += pooling->flops_per_position() * static_cast<double>(out.positions());
  }
  info.bytes =
      builder.traffic(operation, weight_count(node) + (pooling ? pooling->weight_count() : 0));
  return std::make_unique<DepthwiseStep>(std::move(info), operation, variant.run, rows, args,
                                         pooling);
}

}  // namespace lpn
