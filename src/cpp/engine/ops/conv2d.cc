// Two-dimensional convolution, dense or channel by channel.
#include "engine/ops/conv2d.h"

#include "base/check.h"
#include "engine/graph/node_kind.h"
#include "engine/plan/integer_weights.h"

namespace lpn {
namespace {

std::int64_t channels(const Node& node, const std::vector<std::int64_t>& inputs) {
  const std::int64_t c = inputs[0];
  const std::int64_t groups = node.attributes.integer("groups");
  const std::vector<std::int64_t>& w = node.weight("weight").shape;
  LPN_CHECK(groups == 1 || groups == c, describe(node), ": groups is ", groups,
            "; it must be 1 or the input's channels, ", c);
  LPN_CHECK(groups == 1 || w[0] == c, describe(node), ": a depthwise weight of shape ",
            format_shape(w), " makes ", w[0], " channels; it must make the input's ", c);
  LPN_CHECK(w[0] >= 1 && w[2] >= 1 && w[3] >= 1 && w[2] <= kMaxAttribute && w[3] <= kMaxAttribute,
            describe(node), ": weight \"weight\" has shape ", format_shape(w),
            "; every axis must be at least 1");
  check_weight(node, "weight", {w[0], c / groups, w[2], w[3]}, c);
  check_weight(node, "bias", {w[0]}, c);
  check_weight(node, "weight_scale", {w[0]}, c);
  return w[0];
}

Shape shape(const Node& node, const std::vector<Shape>& inputs, std::int64_t out_channels) {
  const std::vector<std::int64_t>& w = node.weight("weight").shape;
  const std::int64_t padding = node.attributes.integer("padding");
  const std::int64_t stride = node.attributes.integer("stride");
  const Shape& in = inputs[0];
  LPN_CHECK(in.h + 2 * padding >= w[2] && in.w + 2 * padding >= w[3], describe(node), ": input ",
            in, " with padding ", padding, " is smaller than the kernel ", w[2], " x ", w[3],
            "; give a larger image");
  return {(in.h + 2 * padding - w[2]) / stride + 1, (in.w + 2 * padding - w[3]) / stride + 1,
          out_channels};
}

void emit(const Node& node, int output, OperationGraph& graph) {
  const int input = node.inputs[0];
  if (node.attributes.integer("groups") > 1) {
    graph.add(std::make_unique<Depthwise>(node, input, output));
  } else {
    graph.add(std::make_unique<Conv>(node, input, output));
  }
}

}  // namespace

bool Conv::is_pointwise() const {
  const std::vector<std::int64_t>& shape = node->weight("weight").shape;
  return shape[2] == 1 && shape[3] == 1 && node->attributes.integer("padding") == 0;
}

std::vector<int> Conv::reads() const {
  std::vector<int> tensors{input};
  if (residual) tensors.push_back(*residual);
  if (vector) tensors.push_back(vector->tensor);
  return tensors;
}

void Conv::redirect(int from, int to) {
  redirect_tensor(input, from, to);
  redirect_tensor(output, from, to);
  if (residual) redirect_tensor(*residual, from, to);
  if (vector) redirect_tensor(vector->tensor, from, to);
}

// Beyond the tile, its input is read as well.
std::optional<int> Conv::overwritable() const {
  return is_pointwise() && residual != input ? residual : std::nullopt;
}

// A window's row of pixels is read as one run of terms.
bool Conv::takes_stride(int tensor) const {
  if (tensor == input && !is_pointwise()) return false;
  return !vector || tensor != vector->tensor;
}

// Products of positions may leave bytes and bfloat16, products of windows enter bfloat16.
bool Conv::takes_types(const std::vector<Tensor>& tensors) const {
  if (vector && type_of(tensors, vector->tensor) != DType::kF32) return false;
  if (type_of(tensors, input) == DType::kU8) return takes_bytes(tensors);
  if (type_of(tensors, output) == DType::kU8) return false;
  if (residual && !of_one_type(tensors, {*residual, output})) return false;
  if (of_one_type(tensors, {input, output})) return true;
  return is_pointwise() == (type_of(tensors, output) == DType::kF32);
}

// The windows of an axis meet the borders in at most twice as many ways.
bool Conv::is_small() const {
  constexpr std::int64_t kMostTaps = 64;
  const std::vector<std::int64_t>& w = node->weight("weight").shape;
  return w[2] <= kMostTaps && w[3] <= kMostTaps;
}

// Of pixels, whose padding is no byte, only products of windows know the borders.
bool Conv::takes_bytes(const std::vector<Tensor>& tensors) const {
  const bool pixels = !all_quantized(tensors, {input});
  if (pixels && (is_pointwise() || !is_small())) return false;
  if (!sums_fit(*node)) return false;
  if (residual && type_of(tensors, *residual) != DType::kU8) return false;
  if (type_of(tensors, output) == DType::kU8) return true;
  return is_pointwise() && !residual;
}

std::unique_ptr<Step> Conv::make_step(StepBuilder& builder) const {
  return is_pointwise() ? make_pointwise_step(*this, builder) : make_conv_step(*this, builder);
}

std::vector<int> Depthwise::writes() const {
  return pool == nullptr ? std::vector<int>{output} : std::vector<int>{output, pool->partials};
}

void Depthwise::redirect(int from, int to) {
  redirect_tensor(input, from, to);
  redirect_tensor(output, from, to);
  if (pool != nullptr) pool->redirect(from, to);
}

bool Depthwise::takes_types(const std::vector<Tensor>& tensors) const {
  if (pool != nullptr && !pool->takes_types(tensors)) return false;
  if (of_one_float(tensors, {input, output})) return true;
  return of_one_type(tensors, {input, output}) && all_quantized(tensors, {input, output}) &&
         sums_fit(*node);
}

NodeKind conv2d_kind() {
  NodeKind kind;
  kind.name = "conv2d";
  kind.attributes = {kStrideAttribute, kPaddingAttribute, integer_attribute("groups", 1),
                     kActivationAttribute};
  kind.weights = {{"weight", 4}, {"bias", 1, true}, {"weight_scale", 1, true}};
  kind.channels = channels;
  kind.shape = shape;
  kind.emit = emit;
  return kind;
}

}  // namespace lpn
