// Grouped transposed convolution, by output rows.
#include "engine/ops/conv_transpose2d.h"

#include <type_traits>

#include "base/check.h"
#include "engine/graph/node_kind.h"
#include "engine/ops/steps/integer_layer.h"
#include "engine/plan/integer_weights.h"
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
  check_weight(node, "weight_scale", {w[1] * groups}, c);
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
    args.scratch = context.scratch_of<std::remove_pointer_t<decltype(args.scratch)>>(worker);
    run_(args);
  }

 private:
  const int input_, output_;
  const GroupDeconvFn<T> run_;
  const RowChunks rows_;
  const GroupDeconvArgs<T> args_;
};

template <class T>
void set_weights(const ConvTranspose& deconv, StepBuilder& builder, GroupDeconvArgs<T>& args) {
  const Node& node = *deconv.node;
  args.bias = node.bias();
  args.activation = node.attributes.activation();
  constexpr const char* kLayout =
      DTypeOf<T>::kValue == DType::kBf16 ? "/group_deconv/bf16" : "/group_deconv";
  args.packed_w = builder.weights.get<float>(
      node.name + kLayout,
      group_deconv_packed_size<T>(builder.isa, args.kh, args.kw, args.in_c, args.out_c,
                                  args.groups),
      [&](float* packed) {
        pack_group_deconv<T>(builder.isa, node.weight("weight").data(), args.kh, args.kw, args.in_c,
                             args.out_c, args.groups, packed);
      });
}

void set_weights(const ConvTranspose& deconv, StepBuilder& builder,
                 GroupDeconvArgs<std::uint8_t>& args) {
  const Quantizations maps{
      *builder.quantization(deconv.input), {}, builder.quantization(deconv.output)};
  IntegerLayer layer(*deconv.node, maps, builder);
  args.packed_w =
      layer.packed("/group_deconv/s8",
                   group_deconv_packed_size_s8(builder.isa, args.kh, args.kw, args.stride,
                                               args.in_c, args.out_c, args.groups),
                   [&](const std::int8_t* w, std::int8_t* packed) {
                     pack_group_deconv_s8(builder.isa, w, args.kh, args.kw, args.stride, args.in_c,
                                          args.out_c, args.groups, packed);
                   });
  args.multiplier = layer.multiplier(args.out_c);
  args.bias = layer.bias(args.out_c, true, false);
  const Requantization result = layer.requantization(deconv.node->attributes.activation(), false);
  args.least = static_cast<std::uint8_t>(result.least);
  args.most = static_cast<std::uint8_t>(result.most);
}

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
  set_weights(*this, builder, args);
  return args;
}
template GroupDeconvArgs<float> ConvTranspose::kernel_args(StepBuilder&) const;
template GroupDeconvArgs<Bfloat16> ConvTranspose::kernel_args(StepBuilder&) const;
template GroupDeconvArgs<std::uint8_t> ConvTranspose::kernel_args(StepBuilder&) const;

// Where the border sees fewer taps, they are zeros.
bool ConvTranspose::takes_types(const std::vector<Tensor>& tensors) const {
  return of_one_float(tensors, {input, output}) ||
         (type_of(tensors, output) == DType::kU8 && takes_bytes(tensors));
}

bool ConvTranspose::takes_bytes(const std::vector<Tensor>& tensors) const {
  const auto at = static_cast<std::size_t>(input);
  return type_of(tensors, input) == DType::kU8 && all_quantized(tensors, {input, output}) &&
         tensors[at].quantization->zero_point == 0 && sums_fit(*node);
}

template <class T>
std::int64_t ConvTranspose::scratch_bytes(std::int64_t rows, const StepBuilder& builder) const {
  using Scratch = std::remove_pointer_t<decltype(GroupDeconvArgs<T>::scratch)>;
  const Shape& in = builder.shape(input);
  return bytes_of<Scratch>(group_deconv_scratch_size<T>(
      rows, in.h, in.w, in.c, node->attributes.integer("groups"), node->weight("weight").shape[2],
      node->attributes.integer("stride")));
}
template std::int64_t ConvTranspose::scratch_bytes<float>(std::int64_t, const StepBuilder&) const;
template std::int64_t ConvTranspose::scratch_bytes<Bfloat16>(std::int64_t,
                                                             const StepBuilder&) const;
template std::int64_t ConvTranspose::scratch_bytes<std::uint8_t>(std::int64_t,
                                                                 const StepBuilder&) const;

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
  const Shape& out = builder.shape(deconv.output);
  const Variant<GroupDeconvFn<T>>& variant = select_group_deconv<T>(builder.isa);

  const GroupDeconvArgs<T> args = deconv.kernel_args<T>(builder);

  Step::Info info;
  info.name = deconv.node->name;
  info.kernel = variant.name;
  info.isa = variant.isa;
  info.flops = deconv.flops(builder);
  if (DTypeOf<T>::kValue == DType::kU8) info.precision = Precision::kInt8;
  info.bytes = builder.traffic(
      deconv,
      weight_bytes(*deconv.node, DTypeOf<T>::kValue == DType::kU8 ? DType::kS8 : DType::kF32));
  // Chunks of whole strides read the fewest input rows twice.
  const RowChunks rows = cut_rows(out.h, kRelativeCost * info.flops, 2 * args.stride);
  info.chunks = rows.count();
  info.scratch_bytes = deconv.scratch_bytes<T>(rows.rows_per_chunk, builder);
  return std::make_unique<ConvTransposeStep<T>>(std::move(info), deconv, variant.run, rows, args);
}

}  // namespace

std::unique_ptr<Step> ConvTranspose::make_step(StepBuilder& builder) const {
  return with_any_elements(builder.type(input), [&](auto zero) {
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
