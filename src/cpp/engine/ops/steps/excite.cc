// What the steps of all attention blocks share.
#include "base/check.h"
#include "engine/graph/node_kind.h"
#include "engine/ops/attention.h"

namespace lpn {

std::int64_t check_layers(const Node& node, std::int64_t channels) {
  const std::int64_t hidden = node.weight("w1").shape[0];
  LPN_CHECK(hidden >= 1, describe(node), ": weight \"w1\" has shape ",
            format_shape(node.weight("w1").shape), "; it must be (h, ", channels,
            ") with h at least 1");
  check_weight(node, "w1", {hidden, channels}, channels);
  check_weight(node, "w2", {channels, hidden}, channels);
  return hidden;
}

AttentionLayers make_layers(const Excite& excite, StepBuilder& builder) {
  const Node& block = *excite.node;
  AttentionLayers layers{};
  const StepBuilder::Pooled& map = builder.pooled[static_cast<std::size_t>(excite.partials)];
  layers.first = attention_first_layer(block, {excite.projection, map.quantization}, builder.isa,
                                       builder.weights);
  layers.w2 = attention_second_layer(block, builder.weights);
  layers.hidden = block.weight("w1").shape[0];
  layers.channels = block.weight("w2").shape[0];
  std::int64_t weights = layers.hidden * (map.channels + layers.channels);
  if (layers.first.b != nullptr) weights += layers.hidden;
  layers.weight_bytes = bytes_of<float>(weights);
  builder.shapes[static_cast<std::size_t>(excite.vector)] = {1, 1, layers.channels};
  return layers;
}

Step::Info excite_info(const Excite& excite, const AttentionLayers& layers,
                       const StepBuilder& builder) {
  const std::int64_t pooled = builder.pooled[static_cast<std::size_t>(excite.partials)].channels;
  Step::Info info;
  info.name = excite.node->name;
  info.flops =
      2.0 * static_cast<double>(layers.hidden) * static_cast<double>(pooled + layers.channels);
  info.scratch_bytes = bytes_of<float>(pooled + layers.hidden);
  return info;
}

}  // namespace lpn
