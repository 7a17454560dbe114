// Dense convolution by output rows.
#include "engine/step_builder.h"
#include "kernels/conv/conv.h"

namespace lpn {
namespace {

class ConvStep final : public Step {
 public:
  ConvStep(Info info, const Operation& operation, ConvFn run, RowChunks rows, const ConvArgs& args)
      : Step(std::move(info)), operation_(operation), run_(run), rows_(rows), args_(args) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int worker) const override {
    ConvArgs args = args_;
    args.row_begin = rows_.begin(chunk);
    args.row_end = rows_.end(chunk);
    const std::int64_t offset = args.row_begin * args.out_w * args.out_c;
    args.in = context.tensor(operation_.input);
    args.out = context.tensor(operation_.output) + offset;
    if (operation_.residual >= 0) args.residual = context.tensor(operation_.residual) + offset;
    args.scratch = context.scratch_of(worker);
    run_(args);
  }

 private:
  const Operation operation_;
  const ConvFn run_;
  const RowChunks rows_;
  const ConvArgs args_;
};

}  // namespace

std::unique_ptr<Step> make_conv_step(const Operation& operation, StepBuilder& builder) {
  const Node& node = *operation.node;
  const Weight& w = node.weight("weight");
  const Shape& in = builder.shape(operation.input);
  const Shape& out = builder.shape(operation.output);
  const Variant<ConvFn>& variant = select_conv(builder.isa);

  ConvArgs args{};
  args.in_h = in.h;
  args.in_w = in.w;
  args.in_c = in.c;
  args.out_w = out.w;
  args.out_c = out.c;
  args.kh = w.shape[2];
  args.kw = w.shape[3];
  args.stride = node.attributes.stride;
  args.padding = node.attributes.padding;
  args.bias = node.bias();
  args.activation = operation.activation;
  args.packed_w = builder.weights.get(
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
  info.bytes = builder.traffic(operation, weight_count(node));
  const RowChunks rows = cut_rows(out.h, info.flops);
  info.chunks = rows.count();
  info.scratch =
      conv_scratch_size(rows.rows_per_chunk, in.h, in.w, in.c, args.kh, args.stride, args.padding);
  return std::make_unique<ConvStep>(std::move(info), operation, variant.run, rows, args);
}

}  // namespace lpn
