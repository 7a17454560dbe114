#include "engine/graph/graph.h"

#include <algorithm>
#include <cmath>

#include "base/check.h"
#include "engine/graph/node_kind.h"

namespace lpn {
namespace {

void check_weights(const NodeKind& kind, const std::string& where,
                   const std::map<std::string, Weight>& weights) {
  for (const WeightSchema& wanted : kind.weights) {
    const auto found = weights.find(wanted.name);
    if (found == weights.end()) {
      LPN_CHECK(wanted.optional, where, "weight \"", wanted.name, "\" is missing");
      continue;
    }
    LPN_CHECK(found->second.shape.size() == wanted.rank, where, "weight \"", wanted.name,
              "\" has shape ", format_shape(found->second.shape), "; it must have ", wanted.rank,
              wanted.rank == 1 ? " axis" : " axes");
  }
  for (const auto& [name, weight] : weights) {
    bool known = false;
    for (const WeightSchema& wanted : kind.weights) known = known || name == wanted.name;
    LPN_CHECK(known, where, "weight \"", name, "\" is not known for this kind");
  }
}

void check_inputs(const Node& node, std::size_t count) {
  const NodeKind& kind = *node.kind;
  if (count >= kind.min_inputs && count <= kind.max_inputs) return;
  const bool exact = kind.min_inputs == kind.max_inputs;
  throw_invalid(describe(node), " has ", count, " inputs; it takes ", exact ? "" : "at least ",
                kind.min_inputs);
}

}  // namespace

const float* Node::bias() const {
  const auto found = weights.find("bias");
  return found == weights.end() ? nullptr : found->second.data();
}

int Graph::find_tensor(const std::string& name) const {
  const auto found = tensor_numbers_.find(name);
  return found == tensor_numbers_.end() ? -1 : found->second;
}

void Graph::add_tensor(const std::string& name, std::int64_t channels) {
  tensor_numbers_.emplace(name, static_cast<int>(channels_.size()));
  channels_.push_back(channels);
  quantizations_.emplace_back();
}

void Graph::add_input(const std::string& name, std::int64_t channels) {
  LPN_CHECK(channels_.empty(), "input \"", name,
            "\": the graph already has its input; there is exactly one, added first");
  LPN_CHECK(channels >= 1 && channels <= 1 << 20, "input \"", name, "\" has ", channels,
            " channels; it must have from 1 to ", 1 << 20);
  add_tensor(name, channels);
}

void Graph::add_node(const std::string& kind, const std::string& name,
                     const std::vector<std::string>& inputs,
                     const std::map<std::string, AttributeValue>& attributes,
                     std::map<std::string, Weight> weights) {
  LPN_CHECK(!channels_.empty(), "node \"", name,
            "\": the graph has no input yet; call add_input first");
  LPN_CHECK(find_tensor(name) < 0, "node \"", name,
            "\": the name is taken; every node and the input need their own");
  Node node;
  node.kind = &find_node_kind(kind, name);
  node.name = name;
  check_inputs(node, inputs.size());
  std::vector<std::int64_t> channels;
  for (const std::string& input : inputs) {
    const int tensor = find_tensor(input);
    LPN_CHECK(tensor >= 0, "node \"", name, "\" (", kind, "): input \"", input,
              "\" is neither the graph's input nor a node added before it");
    node.inputs.push_back(tensor);
    channels.push_back(channels_[static_cast<std::size_t>(tensor)]);
  }
  const std::string where = describe(node) + ": ";
  node.attributes = parse_attributes(node.kind->attributes, where, attributes);
  check_weights(*node.kind, where, weights);
  node.weights = std::move(weights);
  const std::int64_t out_channels = node.kind->channels(node, channels);
  nodes_.push_back(std::move(node));
  add_tensor(name, out_channels);
}

void Graph::add_output(const std::string& name) {
  const int tensor = find_tensor(name);
  LPN_CHECK(tensor > 0, "output \"", name, "\" is not a node of the graph");
  LPN_CHECK(std::find(outputs_.begin(), outputs_.end(), tensor) == outputs_.end(), "output \"",
            name, "\" was added already; each is added once");
  outputs_.push_back(tensor);
}

void Graph::set_quantization(const std::string& name, const Quantization& quantization) {
  const int tensor = find_tensor(name);
  LPN_CHECK(tensor > 0, "quantization of \"", name, "\": it is not a node of the graph");
  LPN_CHECK(std::isnormal(quantization.scale) && quantization.scale > 0, "quantization of \"", name,
            "\": scale is ", quantization.scale, "; it must be finite and greater than 0");
  LPN_CHECK(quantization.zero_point >= 0 && quantization.zero_point <= 255, "quantization of \"",
            name, "\": zero_point is ", quantization.zero_point, "; it must be from 0 to 255");
  quantizations_[static_cast<std::size_t>(tensor)] = quantization;
}

void Graph::keep_float(const std::string& name) {
  const int tensor = find_tensor(name);
  LPN_CHECK(tensor > 0, "\"", name, "\", to be kept in floating point, is not a node of the graph");
  nodes_[static_cast<std::size_t>(tensor) - 1].keeps_float = true;
}

void Graph::set_pixels(PixelInput pixels) {
  const auto channels = static_cast<std::size_t>(input_channels());
  LPN_CHECK(pixels.channel_map.size() == channels && pixels.scale.size() == channels &&
                pixels.shift.size() == channels,
            "channel_map, scale and shift have ", pixels.channel_map.size(), ", ",
            pixels.scale.size(), " and ", pixels.shift.size(),
            " values; each needs one per input channel, ", channels);
  for (std::size_t c = 0; c < channels; ++c) {
    LPN_CHECK(pixels.channel_map[c] >= 0 && pixels.channel_map[c] < 3, "channel_map[", c, "] is ",
              pixels.channel_map[c], "; it must be 0, 1 or 2");
    LPN_CHECK(std::isfinite(static_cast<float>(pixels.scale[c])) &&
                  std::isfinite(static_cast<float>(pixels.shift[c])),
              "scale[", c, "] and shift[", c, "] are ", pixels.scale[c], " and ", pixels.shift[c],
              "; both must be finite in float32");
  }
  pixels_ = std::move(pixels);
}

void Graph::check_complete() const {
  LPN_CHECK(!channels_.empty(),
            "the graph is empty; call add_input, add_node and add_output first");
  LPN_CHECK(!outputs_.empty(), "the graph has no output; call add_output with the name of a node");
}

std::vector<Shape> Graph::infer_shapes(std::int64_t h, std::int64_t w) const {
  constexpr std::int64_t kMaxSide = 1 << 20;
  LPN_CHECK(h >= 1 && w >= 1 && h <= kMaxSide && w <= kMaxSide, "an input of height ", h,
            " and width ", w, " was given; both must be from 1 to ", kMaxSide);
  std::vector<Shape> shapes{{h, w, input_channels()}};
  checked_size("the input", {h, w, input_channels()});
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Node& node = nodes_[i];
    std::vector<Shape> inputs;
    for (const int input : node.inputs) inputs.push_back(shapes[static_cast<std::size_t>(input)]);
    const Shape shape = node.kind->shape(node, inputs, channels_[i + 1]);
    checked_size(("the output of node \"" + node.name + "\"").c_str(), {shape.h, shape.w, shape.c});
    shapes.push_back(shape);
  }
  return shapes;
}

}  // namespace lpn
