// Dense convolution by output rows.
#include "engine/ops/conv2d.h"
#include "engine/plan/step_builder.h"
#include "kernels/conv/conv.h"

namespace lpn {
namespace {

class ConvStep final : public Step {
 public:
  ConvStep(Info info, const Conv& conv, ConvFn run, RowChunks rows, const ConvArgs& args)
      : Step(std::move(info)),
        input_(conv.input),
        output_(conv.output),
        residual_(conv.residual),
        run_(run),
        rows_(rows),
        args_(args) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int worker) const override {
    ConvArgs args = args_;
    args.row_begin = rows_.begin(chunk);
    args.row_end = rows_.end(chunk);
    const std::int64_t position = args.row_begin * args.out_w;
    args.in = context.tensor<float>(input_);
    args.out = context.tensor<float>(output_) + position * args.ld_out;
    if (residual_) args.residual = context.tensor<float>(*residual_) + position * args.ld_residual;
    args.scratch = context.scratch_of<float>(worker);
    run_(args);
  }

 private:
  const int input_, output_;
  const std::optional<int> residual_;
  const ConvFn run_;
  const RowChunks rows_;
  const ConvArgs args_;
};

}  // namespace

std::unique_ptr<Step> make_conv_step(const Conv& conv, StepBuilder& builder) {
  const Node& node = *conv.node;
  const Weight& w = node.weight("weight");
  const Shape& in = builder.shape(conv.input);
  const Shape& out = builder.shape(conv.output);
  const Variant<ConvFn>& variant = select_conv(builder.isa);

  ConvArgs args{};
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
  args.packed_w = builder.weights.get<float>(
      node.name + "/conv", conv_packed_size(builder.isa, args.kh, args.kw, in.c, out.c),
      [&](float* packed) {
        pack_conv(builder.isa, w.data(), args.kh, args.kw, in.c, out.c, packed);
      });

  Step::Info info;
  info.name = node.name;
  info.kernel = variant.name;
  info.isa = variant.isa;
  info.flops =
      2.0 * static_cast<double>(out.size()) * static_cast<double>(args.kh * args.kw * in.c);
  info.bytes = builder.traffic(conv, weight_bytes(node));
  const RowChunks rows = cut_rows(out.h, info.flops);
  info.chunks = rows.count();
  info.scratch_bytes = bytes_of<float>(
      conv_scratch_size(rows.rows_per_chunk, in.h, in.w, in.c, args.kh, args.stride, args.padding));
  return std::make_unique<ConvStep>(std::move(info), conv, variant.run, rows, args);
}

}  // namespace lpn
