// Squeeze-and-excitation block: the channels' means to a gate per channel.
#include "base/check.h"
#include "engine/graph/node_kind.h"
#include "engine/ops/attention.h"
#include "engine/plan/attention_weights.h"
#include "engine/plan/step_builder.h"
#include "kernels/se_gate/se_gate.h"

namespace lpn {
namespace {

std::int64_t channels(const Node& node, const std::vector<std::int64_t>& inputs) {
  const std::int64_t c = inputs[0];
  const std::int64_t hidden = node.weight("w1").shape[0];
  LPN_CHECK(hidden >= 1, describe(node), ": weight \"w1\" has shape ",
            format_shape(node.weight("w1").shape), "; it must be (h, ", c, ") with h at least 1");
  check_weight(node, "w1", {hidden, c}, c);
  check_weight(node, "w2", {c, hidden}, c);
  return c;
}

struct SeExcite final : Excite {
  using Excite::Excite;
  std::unique_ptr<Step> make_step(StepBuilder& builder) const override;
};

void emit(const Node& node, int output, OperationGraph& graph) {
  emit_attention<MeanPool, SeExcite>(node, output, VectorUse::kScale, graph);
}

// Merges the partials and runs the block's two small layers.
class SeExciteStep final : public Step {
 public:
  SeExciteStep(Info info, const SeExcite& excite, const StepBuilder::Pooled& pooled, SeGateFn run,
               const SeGateArgs& args)
      : Step(std::move(info)),
        partials_(excite.partials),
        vector_(excite.vector),
        pooled_(pooled),
        run_(run),
        args_(args) {}

  void run_chunk(const RunContext& context, std::int64_t, int worker) const override {
    float* mean = context.scratch_of<float>(worker);
    merge_channel_sums(context.tensor<float>(partials_), pooled_.count, pooled_.channels,
                       pooled_.positions, mean);
    SeGateArgs args = args_;
    args.mean = mean;
    args.scratch = mean + pooled_.channels;
    args.out = context.tensor<float>(vector_);
    run_(args);
  }

 private:
  const int partials_, vector_;
  const StepBuilder::Pooled pooled_;
  const SeGateFn run_;
  const SeGateArgs args_;
};

std::unique_ptr<Step> SeExcite::make_step(StepBuilder& builder) const {
  const Variant<SeGateFn>& variant = select_se_gate(builder.isa);
  const StepBuilder::Pooled& pooled = builder.pooled[static_cast<std::size_t>(partials)];
  const AttentionLayers layers = make_layers(*this, builder);
  Step::Info info = excite_info(*this, layers, builder);
  info.kernel = variant.name;
  info.isa = variant.isa;
  info.bytes = builder.traffic(*this, layers.weight_bytes);
  SeGateArgs args{};
  args.c_in = pooled.channels;
  args.hidden = layers.hidden;
  args.c_out = layers.channels;
  args.w1 = layers.first.w;
  args.b1 = layers.first.b;
  args.w2 = layers.w2;
  return std::make_unique<SeExciteStep>(std::move(info), *this, pooled, variant.run, args);
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
