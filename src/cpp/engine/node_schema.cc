#include "engine/node_schema.h"

#include <cmath>

#include "base/check.h"

namespace lpn {
namespace {

constexpr std::int64_t kMaxAttribute =
    1 << 20;  // keeps every product of attributes and sizes far from overflow

std::string describe(const Node& node) {
  return std::string("node \"") + node.name + "\" (" + schema_of(node.kind).name + ")";
}

void check_weight(const Node& node, const char* name, const std::vector<std::int64_t>& wanted,
                  std::int64_t channels) {
  const auto found = node.weights.find(name);
  if (found == node.weights.end()) return;  // optional; the required ones were checked
  LPN_CHECK(found->second.shape == wanted, describe(node), ": weight \"", name, "\" has shape ",
            format_shape(found->second.shape), "; it must be ", format_shape(wanted),
            " for an input of ", channels, " channels");
}

std::int64_t conv_channels(const Node& node, const std::vector<std::int64_t>& inputs) {
  const std::int64_t c = inputs[0];
  const std::int64_t groups = node.attributes.groups;
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
  return w[0];
}

Shape conv_shape(const Node& node, const std::vector<Shape>& inputs, std::int64_t channels) {
  const std::vector<std::int64_t>& w = node.weight("weight").shape;
  const Attributes& a = node.attributes;
  const Shape& in = inputs[0];
  LPN_CHECK(in.h + 2 * a.padding >= w[2] && in.w + 2 * a.padding >= w[3], describe(node),
            ": input ", in, " with padding ", a.padding, " is smaller than the kernel ", w[2],
            " x ", w[3], "; give a larger image");
  return {(in.h + 2 * a.padding - w[2]) / a.stride + 1,
          (in.w + 2 * a.padding - w[3]) / a.stride + 1, channels};
}

std::int64_t conv_transpose_channels(const Node& node, const std::vector<std::int64_t>& inputs) {
  const std::int64_t c = inputs[0];
  const std::int64_t groups = node.attributes.groups;
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

Shape conv_transpose_shape(const Node& node, const std::vector<Shape>& inputs,
                           std::int64_t channels) {
  const std::vector<std::int64_t>& w = node.weight("weight").shape;
  const Attributes& a = node.attributes;
  const Shape& in = inputs[0];
  const Shape out{(in.h - 1) * a.stride - 2 * a.padding + w[2],
                  (in.w - 1) * a.stride - 2 * a.padding + w[3], channels};
  LPN_CHECK(out.h >= 1 && out.w >= 1, describe(node), ": input ", in, " with kernel ", w[2], " x ",
            w[3], ", stride ", a.stride, " and padding ", a.padding,
            " gives an empty output; give a larger image or less padding");
  return out;
}

Shape same_shape(const Node&, const std::vector<Shape>& inputs, std::int64_t) { return inputs[0]; }

std::int64_t max_pool_channels(const Node& node, const std::vector<std::int64_t>& inputs) {
  const Attributes& a = node.attributes;
  LPN_CHECK(a.padding < a.kernel, describe(node), ": padding is ", a.padding,
            "; it must be less than the kernel, ", a.kernel,
            ", so that every window holds a pixel");
  return inputs[0];
}

Shape max_pool_shape(const Node& node, const std::vector<Shape>& inputs, std::int64_t channels) {
  const Attributes& a = node.attributes;
  const Shape& in = inputs[0];
  LPN_CHECK(in.h + 2 * a.padding >= a.kernel && in.w + 2 * a.padding >= a.kernel, describe(node),
            ": input ", in, " with padding ", a.padding, " is smaller than the kernel ", a.kernel,
            "; give a larger image");
  return {(in.h + 2 * a.padding - a.kernel) / a.stride + 1,
          (in.w + 2 * a.padding - a.kernel) / a.stride + 1, channels};
}

std::int64_t add_channels(const Node& node, const std::vector<std::int64_t>& inputs) {
  LPN_CHECK(inputs[0] == inputs[1], describe(node), ": the inputs have ", inputs[0], " and ",
            inputs[1], " channels; they must have the same shape");
  return inputs[0];
}

Shape add_shape(const Node& node, const std::vector<Shape>& inputs, std::int64_t) {
  LPN_CHECK(
      inputs[0] == inputs[1], describe(node), ": the inputs have shapes ", inputs[0], " and ",
      inputs[1],
      "; they must be the same (an input image whose sides are multiples of 16 keeps them so)");
  return inputs[0];
}

std::int64_t gc_channels(const Node& node, const std::vector<std::int64_t>& inputs) {
  const std::int64_t c = inputs[0];
  const std::int64_t hidden = node.weight("w1").shape[0];
  LPN_CHECK(hidden >= 1, describe(node), ": weight \"w1\" has shape ",
            format_shape(node.weight("w1").shape), "; it must be (h, ", c, ") with h at least 1");
  check_weight(node, "mask_weight", {c}, c);
  check_weight(node, "mask_bias", {1}, c);
  check_weight(node, "w1", {hidden, c}, c);
  for (const char* name : {"b1", "norm_weight", "norm_bias"}) check_weight(node, name, {hidden}, c);
  check_weight(node, "w2", {c, hidden}, c);
  check_weight(node, "b2", {c}, c);
  return c;
}

std::int64_t se_channels(const Node& node, const std::vector<std::int64_t>& inputs) {
  const std::int64_t c = inputs[0];
  const std::int64_t hidden = node.weight("w1").shape[0];
  LPN_CHECK(hidden >= 1, describe(node), ": weight \"w1\" has shape ",
            format_shape(node.weight("w1").shape), "; it must be (h, ", c, ") with h at least 1");
  check_weight(node, "w1", {hidden, c}, c);
  check_weight(node, "w2", {c, hidden}, c);
  return c;
}

constexpr AttributeSchema integer(const char* name, std::int64_t minimum,
                                  std::int64_t Attributes::* place) {
  return {name, AttributeType::kInteger, place, nullptr, minimum};
}

constexpr AttributeSchema kStride = integer("stride", 1, &Attributes::stride);
constexpr AttributeSchema kPadding = integer("padding", 0, &Attributes::padding);
constexpr AttributeSchema kGroups = integer("groups", 1, &Attributes::groups);
constexpr AttributeSchema kKernel = integer("kernel", 1, &Attributes::kernel);
constexpr AttributeSchema kEpsilon{"epsilon", AttributeType::kNumber, nullptr, &Attributes::epsilon,
                                   0};
constexpr AttributeSchema kActivation{"activation", AttributeType::kActivation, nullptr, nullptr,
                                      0};

const std::vector<NodeSchema>& schemas() {
  static const std::vector<NodeSchema> table{
      {NodeKind::kConv2d,
       "conv2d",
       1,
       {kStride, kPadding, kGroups, kActivation},
       {{"weight", 4, false}, {"bias", 1, true}},
       conv_channels,
       conv_shape},
      {NodeKind::kConvTranspose2d,
       "conv_transpose2d",
       1,
       {kStride, kPadding, kGroups, kActivation},
       {{"weight", 4, false}, {"bias", 1, true}},
       conv_transpose_channels,
       conv_transpose_shape},
      {NodeKind::kMaxPool2d,
       "max_pool2d",
       1,
       {kKernel, kStride, kPadding},
       {},
       max_pool_channels,
       max_pool_shape},
      {NodeKind::kAdd, "add", 2, {kActivation}, {}, add_channels, add_shape},
      {NodeKind::kGcBlock,
       "gc_block",
       1,
       {kEpsilon},
       {{"mask_weight", 1, false},
        {"mask_bias", 1, false},
        {"w1", 2, false},
        {"b1", 1, false},
        {"norm_weight", 1, false},
        {"norm_bias", 1, false},
        {"w2", 2, false},
        {"b2", 1, false}},
       gc_channels,
       same_shape},
      {NodeKind::kSeBlock,
       "se_block",
       1,
       {},
       {{"w1", 2, false}, {"w2", 2, false}},
       se_channels,
       same_shape},
  };
  return table;
}

const char* type_name(AttributeType type) {
  switch (type) {
    case AttributeType::kInteger:
      return "an integer";
    case AttributeType::kNumber:
      return "a number";
    case AttributeType::kActivation:
      return "one of \"none\", \"relu\", \"relu6\"";
  }
  return "";
}

}  // namespace

const NodeSchema& find_schema(const std::string& kind, const std::string& node) {
  std::string known;
  for (const NodeSchema& schema : schemas()) {
    if (kind == schema.name) return schema;
    known += std::string(known.empty() ? "" : ", ") + schema.name;
  }
  throw_invalid("node \"", node, "\": kind \"", kind, "\" is not known; this version knows ",
                known);
}

const NodeSchema& schema_of(NodeKind kind) {
  for (const NodeSchema& schema : schemas()) {
    if (schema.kind == kind) return schema;
  }
  throw std::logic_error("a node kind without a schema");
}

Activation parse_activation(const std::string& name, const std::string& what) {
  if (name == "none") return Activation::kNone;
  if (name == "relu") return Activation::kRelu;
  if (name == "relu6") return Activation::kRelu6;
  throw_invalid(what, "activation is \"", name, "\"; it must be ",
                type_name(AttributeType::kActivation));
}

Attributes parse_attributes(const NodeSchema& schema, const std::string& node,
                            const std::map<std::string, AttributeValue>& values) {
  const std::string where = "node \"" + node + "\" (" + schema.name + "): ";
  Attributes attributes;
  for (const AttributeSchema& wanted : schema.attributes) {
    const auto found = values.find(wanted.name);
    LPN_CHECK(found != values.end(), where, "attribute \"", wanted.name,
              "\" is missing; it must be ", type_name(wanted.type));
    const AttributeValue& value = found->second;
    const std::int64_t* integer = std::get_if<std::int64_t>(&value);
    const double* number = std::get_if<double>(&value);
    const std::string* text = std::get_if<std::string>(&value);
    if (wanted.type == AttributeType::kInteger && integer != nullptr) {
      LPN_CHECK(*integer >= wanted.minimum && *integer <= kMaxAttribute, where, "attribute \"",
                wanted.name, "\" is ", *integer, "; it must be from ", wanted.minimum, " to ",
                kMaxAttribute);
      attributes.*wanted.integer = *integer;
    } else if (wanted.type == AttributeType::kNumber && (integer != nullptr || number != nullptr)) {
      const double given = integer != nullptr ? static_cast<double>(*integer) : *number;
      LPN_CHECK(given >= static_cast<double>(wanted.minimum) && std::isfinite(given), where,
                "attribute \"", wanted.name, "\" is ", given, "; it must be finite and at least ",
                wanted.minimum);
      attributes.*wanted.number = given;
    } else if (wanted.type == AttributeType::kActivation && text != nullptr) {
      attributes.activation = parse_activation(*text, where);
    } else {
      throw_invalid(where, "attribute \"", wanted.name, "\" must be ", type_name(wanted.type));
    }
  }
  for (const auto& [name, value] : values) {
    bool known = false;
    for (const AttributeSchema& wanted : schema.attributes) known = known || name == wanted.name;
    LPN_CHECK(known, where, "attribute \"", name, "\" is not known for this kind");
  }
  return attributes;
}

}  // namespace lpn
