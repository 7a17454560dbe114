// Grouped transposed convolution by output rows.
#include "engine/steps/group_deconv_args.h"

namespace lpn {
namespace {

class ConvTransposeStep final : public Step {
 public:
  ConvTransposeStep(Info info, const Operation& operation, GroupDeconvFn run, RowChunks rows,
                    const GroupDeconvArgs& args)
      : Step(std::move(info)), operation_(operation), run_(run), rows_(rows), args_(args) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int worker) const override {
    GroupDeconvArgs args = args_;
    args.row_begin = rows_.begin(chunk);
    args.row_end = rows_.end(chunk);
    args.in = context.tensor(operation_.input);
    args.out = context.tensor(operation_.output) + args.row_begin * args.out_w * args.out_c;
    args.scratch = context.scratch_of(worker);
    run_(args);
  }

 private:
  const Operation operation_;
  const GroupDeconvFn run_;
  const RowChunks rows_;
  const GroupDeconvArgs args_;
};

}  // namespace

GroupDeconvArgs group_deconv_args(const Operation& operation, StepBuilder& builder) {
  const Node& node = *operation.node;
  const Weight& w = node.weight("weight");
  const Shape& in = builder.shape(operation.input);
  const Shape& out = builder.shape(operation.output);
  GroupDeconvArgs args{};
  args.in_h = in.h;
  args.in_w = in.w;
  args.in_c = in.c;
  args.out_w = out.w;
  args.out_c = out.c;
  args.groups = node.attributes.groups;
  args.kh = w.shape[2];
  args.kw = w.shape[3];
  args.stride = node.attributes.stride;
  args.padding = node.attributes.padding;
  args.bias = node.bias();
  args.activation = operation.activation;
  args.packed_w = builder.weights.get(
      node.name + "/group_deconv",
      group_deconv_packed_size(builder.isa, args.kh, args.kw, in.c, out.c, args.groups),
      [&](float* packed) {
        pack_group_deconv(builder.isa, w.data(), args.kh, args.kw, in.c, out.c, args.groups,
                          packed);
      });
  return args;
}

// Every input value meets every tap of its group's outputs.
double group_deconv_flops(const Operation& operation, const StepBuilder& builder) {
  const std::vector<std::int64_t>& w = operation.node->weight("weight").shape;
  return 2.0 * static_cast<double>(builder.shape(operation.input).size()) *
         static_cast<double>(w[1] * w[2] * w[3]);
}

std::unique_ptr<Step> make_conv_transpose_step(const Operation& operation, StepBuilder& builder) {
  // Few operations per byte, as in a depthwise convolution.
  constexpr double kRelativeCost = 4;
  const Node& node = *operation.node;
  const Shape& in = builder.shape(operation.input);
  const Shape& out = builder.shape(operation.output);
  const Variant<GroupDeconvFn>& variant = select_group_deconv(builder.isa);

  const GroupDeconvArgs args = group_deconv_args(operation, builder);

  Step::Info info;
  info.name = node.name;
  info.kernel = variant.name;
  info.isa = variant.isa;
  info.flops = group_deconv_flops(operation, builder);
  info.bytes = builder.traffic(operation, weight_count(node));
  // Chunks of whole strides read the fewest input rows twice.
  const RowChunks rows = cut_rows(out.h, kRelativeCost * info.flops, 2 * args.stride);
  info.chunks = rows.count();
  info.scratch = group_deconv_scratch_size(rows.rows_per_chunk, in.h, in.w, in.c, args.groups,
                                           args.kh, args.stride);
  return std::make_unique<ConvTransposeStep>(std::move(info), operation, variant.run, rows, args);
}

}  // namespace lpn
