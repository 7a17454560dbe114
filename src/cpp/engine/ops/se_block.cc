// Squeeze-and-excitation block: the channels' means to a gate per channel.
#include "engine/graph/node_kind.h"
#include "engine/ops/attention.h"
#include "engine/plan/attention_weights.h"
#include "kernels/se_gate/se_gate.h"

namespace lpn {
namespace {

std::int64_t channels(const Node& node, const std::vector<std::int64_t>& inputs) {
  const std::int64_t c = inputs[0];
  check_layers(node, c);
  return c;
}

struct SeExcite final : Excite {
  using Excite::Excite;
  std::unique_ptr<Step> make_step(StepBuilder& builder) const override;
};

void emit(const Node& node, int output, OperationGraph& graph) {
  emit_attention<MeanPool, SeExcite>(node, output, VectorUse::kScale, graph);
}

std::unique_ptr<Step> SeExcite::make_step(StepBuilder& builder) const {
  const Variant<SeGateFn>& variant = select_se_gate(builder.isa);
  const StepBuilder::Pooled& pooled = builder.pooled[static_cast<std::size_t>(partials)];
  const AttentionLayers layers = make_layers(*this, builder);
  Step::Info info = excite_info(*this, layers, builder);
  info.kernel = variant.name;
  info.isa = variant.isa;
  info.bytes = builder.traffic(*this, layers.weight_bytes);
  auto args = layer_args<SeGateArgs>(pooled, layers);
  const auto merge = [](const float* parts, const StepBuilder::Pooled& from, float* merged) {
    merge_channel_sums(parts, from.count, from.channels, from.positions, merged);
  };
  return std::make_unique<ExciteStep<SeGateArgs>>(std::move(info), *this, pooled, merge,
                                                  &SeGateArgs::mean, variant.run, args);
}

}  // namespace

NodeKind se_block_kind() {
  NodeKind kind;
  kind.name = "se_block";
  kind.weights = {{"w1", 2}, {"w2", 2}};
  kind.channels = channels;
  kind.shape = same_shape;
  kind.emit = emit;
  return kind;
}

}  // namespace lpn
