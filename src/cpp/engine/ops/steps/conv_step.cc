// Dense convolution by output rows.
#include <type_traits>

#include "engine/ops/conv2d.h"
#include "engine/plan/step_builder.h"
#include "kernels/conv/conv.h"

namespace lpn {
namespace {

template <class In, class Out>
class ConvStep final : public Step {
 public:
  ConvStep(Info info, const Conv& conv, ConvFn<In, Out> run, RowChunks rows,
           const ConvArgs<In, Out>& args)
      : Step(std::move(info)),
        input_(conv.input),
        output_(conv.output),
        residual_(conv.residual),
        run_(run),
        rows_(rows),
        args_(args) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int worker) const override {
    ConvArgs<In, Out> args = args_;
    args.row_begin = rows_.begin(chunk);
    args.row_end = rows_.end(chunk);
    const std::int64_t position = args.row_begin * args.out_w;
    args.in = context.tensor<In>(input_);
    args.out = context.tensor<Out>(output_) + position * args.ld_out;
    if (residual_) args.residual = context.tensor<Out>(*residual_) + position * args.ld_residual;
    args.scratch = context.scratch_of<std::remove_pointer_t<decltype(args.scratch)>>(worker);
    run_(args);
  }

 private:
  const int input_, output_;
  const std::optional<int> residual_;
  const ConvFn<In, Out> run_;
  const RowChunks rows_;
  const ConvArgs<In, Out> args_;
};

template <class In, class Out>
std::unique_ptr<Step> make_step(const Conv& conv, StepBuilder& builder) {
  const Node& node = *conv.node;
  const Weight& w = node.weight("weight");
  const Shape& in = builder.shape(conv.input);
  const Shape& out = builder.shape(conv.output);
  const Variant<ConvFn<In, Out>>& variant = select_conv<In, Out>(builder.isa);

  ConvArgs<In, Out> args{};
  args.in_h = in.h;
  args.in_w = in.w;
  args.in_c = in.c;
  args.out_w = out.w;
  args.out_c = out.c;
  args.ld_out = builder.row_stride(conv.output);
  if (conv.residual) args.ld_residual = builder.row_stride(*conv.residual);
  args.kh = w.shape[2];
  args.kw = w.shape[3];
  args.stride = node.attributes.integer("stride");
  args.padding = node.attributes.integer("padding");
  args.bias = node.bias();
  args.activation = conv.activation;
  constexpr const char* kLayout = std::is_same_v<Out, float> ? "/conv" : "/conv/bf16";
  args.packed_w = builder.weights.get<Out>(
      node.name + kLayout, conv_packed_size<Out>(builder.isa, args.kh, args.kw, in.c, out.c),
      [&](Out* packed) {
        pack_conv(builder.isa, w.data(), args.kh, args.kw, in.c, out.c, packed);
      });

  Step::Info info;
  info.name = node.name;
  info.kernel = variant.name;
  info.isa = variant.isa;
  info.precision = precision_of(DTypeOf<Out>::kValue);
  info.flops =
      2.0 * static_cast<double>(out.size()) * static_cast<double>(args.kh * args.kw * in.c);
  info.bytes = builder.traffic(conv, weight_bytes(node, DTypeOf<Out>::kValue));
  const RowChunks rows = cut_rows(out.h, info.flops);
  info.chunks = rows.count();
  info.scratch_bytes = bytes_of<Out>(conv_scratch_size<In, Out>(
      rows.rows_per_chunk, in.h, in.w, in.c, args.kh, args.stride, args.padding));
  return std::make_unique<ConvStep<In, Out>>(std::move(info), conv, variant.run, rows, args);
}

}  // namespace

std::unique_ptr<Step> make_conv_step(const Conv& conv, StepBuilder& builder) {
  if (builder.type(conv.output) == DType::kF32) return make_step<float, float>(conv, builder);
  return with_elements(builder.type(conv.input),
                       [&](auto in) { return make_step<decltype(in), Bfloat16>(conv, builder); });
}

}  // namespace lpn
