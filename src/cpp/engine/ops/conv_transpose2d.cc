// Grouped transposed convolution, by output rows.
#include "engine/ops/conv_transpose2d.h"

#include "base/check.h"
#include "engine/graph/node_kind.h"
#include "engine/plan/step_builder.h"

namespace lpn {
namespace {

std::int64_t channels(const Node& node, const std::vector<std::int64_t>& inputs) {
  const std::int64_t c = inputs[0];
  const std::int64_t groups = node.attributes.integer("groups");
  const std::vector<std::int64_t>& w = node.weight("weight").shape;
  LPN_CHECK(c % groups == 0, describe(node), ": groups is ", groups,
            "; it must divide the input's channels, ", c);
  LPN_CHECK(w[1] >= 1 && w[1] <= (std::int64_t{1} << 40) / groups && w[2] >= 1 && w[3] >= 1 &&
                w[2] <= kMaxAttribute && w[3] <= kMaxAttribute,
            describe(node), ": weight \"weight\" has shape ", format_shape(w),
            "; every axis must be at least 1");
  check_weight(node, "weight", {c, w[1], w[2], w[3]}, c);
  check_weight(node, "bias", {w[1] * groups}, c);
  return w[1] * groups;
}

Shape shape(const Node& node, const std::vector<Shape>& inputs, std::int64_t out_channels) {
  const std::vector<std::int64_t>& w = node.weight("weight").shape;
  const std::int64_t padding = node.attributes.integer("padding");
  const std::int64_t stride = node.attributes.integer("stride");
  const Shape& in = inputs[0];
  const Shape out{(in.h - 1) * stride - 2 * padding + w[2],
                  (in.w - 1) * stride - 2 * padding + w[3], out_channels};
  LPN_CHECK(out.h >= 1 && out.w >= 1, describe(node), ": input ", in, " with kernel ", w[2], " x ",
            w[3], ", stride ", stride, " and padding ", padding,
            " gives an empty output; give a larger image or less padding");
  return out;
}

void emit(const Node& node, int output, OperationGraph& graph) {
  graph.add(std::make_unique<ConvTranspose>(node, node.inputs[0], output));
}

template <class T>
class ConvTransposeStep final : public Step {
 public:
  ConvTransposeStep(Info info, const ConvTranspose& operation, GroupDeconvFn<T> run, RowChunks rows,
                    const GroupDeconvArgs<T>& args)
      : Step(std::move(info)),
        input_(operation.input),
        output_(operation.output),
        run_(run),
        rows_(rows),
        args_(args) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int worker) const override {
    GroupDeconvArgs<T> args = args_;
    args.row_begin = rows_.begin(chunk);
    args.row_end = rows_.end(chunk);
    args.in = context.tensor<T>(input_);
    args.out = context.tensor<T>(output_) + args.row_begin * args.out_w * args.out_c;
    args.scratch = context.scratch_of<float>(worker);
    run_(args);
  }

 private:
  const int input_, output_;
  const GroupDeconvFn<T> run_;
  const RowChunks rows_;
  const GroupDeconvArgs<T> args_;
};

}  // namespace

template <class T>
GroupDeconvArgs<T> ConvTranspose::kernel_args(StepBuilder& builder) const {
  const Weight& w = node->weight("weight");
  const Shape& in = builder.shape(input);
  const Shape& out = builder.shape(output);
  GroupDeconvArgs<T> args{};
  args.in_h = in.h;
  args.in_w = in.w;
  args.in_c = in.c;
  args.out_w = out.w;
  args.out_c = out.c;
  args.groups = node->attributes.integer("groups");
  args.kh = w.shape[2];
  args.kw = w.shape[3];
  args.stride = node->attributes.integer("stride");
  args.padding = node->attributes.integer("padding");
  args.bias = node->bias();
  args.activation = node->attributes.activation();
  constexpr const char* kLayout =
      DTypeOf<T>::kValue == DType::kBf16 ? "/group_deconv/bf16" : "/group_deconv";
  args.packed_w = builder.weights.get<float>(
      node->name + kLayout,
      group_deconv_packed_size<T>(builder.isa, args.kh, args.kw, in.c, out.c, args.groups),
      [&](float* packed) {
        pack_group_deconv<T>(builder.isa, w.data(), args.kh, args.kw, in.c, out.c, args.groups,
                             packed);
      });
  return args;
}
template GroupDeconvArgs<float> ConvTranspose::kernel_args(StepBuilder&) const;
template GroupDeconvArgs<Bfloat16> ConvTranspose::kernel_args(StepBuilder&) const;

// Every input value meets every tap of its group's outputs.
double ConvTranspose::flops(const StepBuilder& builder) const {
  const std::vector<std::int64_t>& w = node->weight("weight").shape;
  return 2.0 * static_cast<double>(builder.shape(input).size()) *
         static_cast<double>(w[1] * w[2] * w[3]);
}

namespace {

template <class T>
std::unique_ptr<Step> make_conv_transpose(const ConvTranspose& deconv, StepBuilder& builder) {
  // Few operations per byte, as in a depthwise convolution.
  constexpr double kRelativeCost = 4;
  const Shape& in = builder.shape(deconv.input);
  const Shape& out = builder.shape(deconv.output);
  const Variant<GroupDeconvFn<T>>& variant = select_group_deconv<T>(builder.isa);

  const GroupDeconvArgs<T> args = deconv.kernel_args<T>(builder);

  Step::Info info;
  info.name = deconv.node->name;
  info.kernel = variant.name;
  info.isa = variant.isa;
  info.flops = deconv.flops(builder);
  info.bytes = builder.traffic(deconv, weight_bytes(*deconv.node));
  // Chunks of whole strides read the fewest input rows twice.
  const RowChunks rows = cut_rows(out.h, kRelativeCost * info.flops, 2 * args.stride);
  info.chunks = rows.count();
  info.scratch_bytes = bytes_of<float>(group_deconv_scratch_size<T>(
      rows.rows_per_chunk, in.h, in.w, in.c, args.groups, args.kh, args.stride));
  return std::make_unique<ConvTransposeStep<T>>(std::move(info), deconv, variant.run, rows, args);
}

}  // namespace

std::unique_ptr<Step> ConvTranspose::make_step(StepBuilder& builder) const {
  return with_elements(builder.type(input), [&](auto zero) {
    return make_conv_transpose<decltype(zero)>(*this, builder);
  });
}

NodeKind conv_transpose2d_kind() {
  NodeKind kind;
  kind.name = "conv_transpose2d";
  kind.attributes = {kStrideAttribute, kPaddingAttribute, integer_attribute("groups", 1),
                     kActivationAttribute};
  kind.weights = {{"weight", 4}, {"bias", 1, true}, {"weight_scale", 1, true}};
  kind.channels = channels;
  kind.shape = shape;
  kind.emit = emit;
  return kind;
}

}  // namespace lpn
