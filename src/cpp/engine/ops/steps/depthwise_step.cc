// Depthwise convolution by output rows, pooled for an attention block while its result is in cache.
#include "engine/ops/conv2d.h"
#include "engine/ops/steps/integer_layer.h"
#include "engine/plan/step_builder.h"
#include "kernels/depthwise/depthwise.h"

namespace lpn {
namespace {

template <class T>
class DepthwiseStep final : public Step {
 public:
  DepthwiseStep(Info info, const Depthwise& depthwise, DepthwiseFn<T> run, RowChunks rows,
                const DepthwiseArgs<T>& args, std::shared_ptr<const Pooling> pooling)
      : Step(std::move(info)),
        input_(depthwise.input),
        output_(depthwise.output),
        run_(run),
        rows_(rows),
        args_(args),
        pooling_(std::move(pooling)) {
    if (depthwise.pool != nullptr) partials_ = depthwise.pool->partials;
  }

  void run_chunk(const RunContext& context, std::int64_t chunk, int worker) const override {
    DepthwiseArgs<T> args = args_;
    args.row_begin = rows_.begin(chunk);
    args.row_end = rows_.end(chunk);
    args.in = context.tensor<T>(input_);
    args.out = context.tensor<T>(output_) + args.row_begin * args.out_w * args.c;
    run_(args);
    if (pooling_ == nullptr) return;
    pooling_->run(args.out, (args.row_end - args.row_begin) * args.out_w,
                  context.tensor<float>(partials_) + chunk * pooling_->info().partial_size,
                  context.scratch_of<float>(worker));
  }

 private:
  const int input_, output_;
  const DepthwiseFn<T> run_;
  const RowChunks rows_;
  const DepthwiseArgs<T> args_;
  const std::shared_ptr<const Pooling> pooling_;  // or null
  int partials_ = 0;                              // of the pooling
};

template <class T>
void set_weights(const Depthwise& depthwise, StepBuilder& builder, DepthwiseArgs<T>& args) {
  const Node& node = *depthwise.node;
  args.bias = node.bias();
  args.activation = node.attributes.activation();
  // Floats, of which a bfloat16 network has the nearest bfloat16 numbers.
  constexpr const char* kLayout =
      DTypeOf<T>::kValue == DType::kBf16 ? "/depthwise/bf16" : "/depthwise";
  args.w = builder.weights.get<float>(
      node.name + kLayout, depthwise_packed_size(args.kh, args.kw, args.c), [&](float* packed) {
        pack_depthwise<T>(node.weight("weight").data(), args.kh, args.kw, args.c, packed);
      });
}

void set_weights(const Depthwise& depthwise, StepBuilder& builder,
                 DepthwiseArgs<std::uint8_t>& args) {
  const Quantizations maps{
      *builder.quantization(depthwise.input), {}, builder.quantization(depthwise.output)};
  IntegerLayer layer(*depthwise.node, maps, builder);
  args.w = layer.packed(
      "/depthwise/s8", depthwise_packed_size_s8(builder.isa, args.kh, args.kw, args.stride, args.c),
      [&](const std::int8_t* w, std::int8_t* packed) {
        pack_depthwise_s8(builder.isa, w, args.kh, args.kw, args.stride, args.c, packed);
      });
  args.multiplier = layer.multiplier(args.c);
  args.bias = layer.bias(args.c, true, false);
  args.padding_value = static_cast<std::uint8_t>(maps.input.zero_point);
  const Requantization result =
      layer.requantization(depthwise.node->attributes.activation(), false);
  args.least = static_cast<std::uint8_t>(result.least);
  args.most = static_cast<std::uint8_t>(result.most);
}

template <class T>
std::unique_ptr<Step> make_depthwise_step(const Depthwise& depthwise, StepBuilder& builder) {
  // Loads and stores, not arithmetic, take the time: an operation costs this many of a matrix
  // product's.
  constexpr double kRelativeCost = 8;
  const Node& node = *depthwise.node;
  const Pool* const pool = depthwise.pool.get();
  const Weight& w = node.weight("weight");
  const Shape& in = builder.shape(depthwise.input);
  const Shape& out = builder.shape(depthwise.output);
  const Variant<DepthwiseFn<T>>& variant = select_depthwise<T>(builder.isa);

  DepthwiseArgs<T> args{};
  args.in_h = in.h;
  args.in_w = in.w;
  args.c = in.c;
  args.out_w = out.w;
  args.kh = w.shape[2];
  args.kw = w.shape[3];
  args.stride = node.attributes.integer("stride");
  args.padding = node.attributes.integer("padding");
  set_weights(depthwise, builder, args);

  Step::Info info;
  info.name = node.name;
  info.kernel = variant.name;
  info.isa = variant.isa;
  info.flops = 2.0 * static_cast<double>(out.size()) * static_cast<double>(args.kh * args.kw);
  if (DTypeOf<T>::kValue == DType::kU8) info.precision = Precision::kInt8;
  const RowChunks rows = cut_rows(out.h, kRelativeCost * info.flops, kDepthwiseRows);
  info.chunks = rows.count();
  std::int64_t weights =
      weight_bytes(node, DTypeOf<T>::kValue == DType::kU8 ? DType::kS8 : DType::kF32);
  std::shared_ptr<const Pooling> pooling;
  if (pool != nullptr) {
    pooling = pool->make_pooling(out.c, builder);
    pool->declare_partials(*pooling, info.chunks, out.positions(), out.c, builder);
    info.scratch_bytes =
        bytes_of<float>(rows.rows_per_chunk * out.w * pooling->info().scratch_per_position);
    info.flops += pool->flops(out.c) * static_cast<double>(out.positions());
    weights += pooling->info().weight_bytes;
  }
  info.bytes = builder.traffic(depthwise, weights);
  return std::make_unique<DepthwiseStep<T>>(std::move(info), depthwise, variant.run, rows, args,
                                            std::move(pooling));
}

}  // namespace

std::unique_ptr<Step> Depthwise::make_step(StepBuilder& builder) const {
  return with_any_elements(builder.type(input), [&](auto zero) {
    return make_depthwise_step<decltype(zero)>(*this, builder);
  });
}

}  // namespace lpn
