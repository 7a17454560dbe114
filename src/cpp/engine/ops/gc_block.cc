// Global-context block: a softmax-weighted mean over positions, transformed and added to each.
#include "engine/graph/node_kind.h"
#include "engine/ops/attention.h"
#include "engine/plan/attention_weights.h"
#include "kernels/gc_pool/gc_pool.h"

namespace lpn {
namespace {

std::int64_t channels(const Node& node, const std::vector<std::int64_t>& inputs) {
  const std::int64_t c = inputs[0];
  const std::int64_t hidden = check_layers(node, c);
  check_weight(node, "mask_weight", {c}, c);
  check_weight(node, "mask_bias", {1}, c);
  for (const char* name : {"b1", "norm_weight", "norm_bias"}) check_weight(node, name, {hidden}, c);
  check_weight(node, "b2", {c}, c);
  return c;
}

template <class T>
class GcPooling final : public Pooling {
 public:
  GcPooling(const Variant<GcPoolFn<T>>& variant, const float* mask, std::int64_t channels)
      : Pooling({variant.name, variant.isa, 2 + channels, 1, bytes_of<float>(channels)}),
        run_(variant.run),
        mask_(mask),
        channels_(channels) {}

  void run(const void* x, std::int64_t positions, float* partial, float* scratch) const override {
    run_(GcPoolArgs<T>{static_cast<const T*>(x), positions, channels_, mask_, scratch, partial});
  }

 private:
  const GcPoolFn<T> run_;
  const float* const mask_;
  const std::int64_t channels_;
};

struct GcPool final : Pool {
  using Pool::Pool;
  std::shared_ptr<const Pooling> make_pooling(std::int64_t pooled_channels,
                                              StepBuilder& builder) const override {
    const PooledMap map{projection, builder.quantization(input)};
    const float* mask = gc_mask(*node, map, builder.isa, builder.weights);
    return with_any_elements(builder.type(input), [&](auto zero) -> std::shared_ptr<const Pooling> {
      using T = decltype(zero);
      return std::make_shared<const GcPooling<T>>(select_gc_pool<T>(builder.isa), mask,
                                                  pooled_channels);
    });
  }
};

struct GcExcite final : Excite {
  using Excite::Excite;
  std::unique_ptr<Step> make_step(StepBuilder& builder) const override;
};

void emit(const Node& node, int output, OperationGraph& graph) {
  emit_attention<GcPool, GcExcite>(node, output, VectorUse::kBias, graph);
}

std::unique_ptr<Step> GcExcite::make_step(StepBuilder& builder) const {
  const Variant<GcTransformFn>& variant = select_gc_transform(builder.isa);
  const StepBuilder::Pooled& pooled = builder.pooled[static_cast<std::size_t>(partials)];
  const AttentionLayers layers = make_layers(*this, builder);
  Step::Info info = excite_info(*this, layers, builder);
  info.kernel = variant.name;
  info.isa = variant.isa;
  // Of the norm, twice hidden; b2.
  info.bytes = builder.traffic(
      *this, layers.weight_bytes + bytes_of<float>(2 * layers.hidden + layers.channels));
  auto args = layer_args<GcTransformArgs>(pooled, layers);
  args.norm_w = node->weight("norm_weight").data();
  args.norm_b = node->weight("norm_bias").data();
  args.epsilon = static_cast<float>(node->attributes.number("epsilon"));
  args.b2 = node->weight("b2").data();
  // The vector takes the place of the projection's bias in its epilogue, and so has to hold it.
  args.base = projection == nullptr ? nullptr : projection->bias();
  const auto merge = [](const float* parts, const StepBuilder::Pooled& from, float* merged) {
    merge_gc_partials(parts, from.count, from.channels, merged);
  };
  return std::make_unique<ExciteStep<GcTransformArgs>>(
      std::move(info), *this, pooled, merge, &GcTransformArgs::context, variant.run, args);
}

}  // namespace

NodeKind gc_block_kind() {
  NodeKind kind;
  kind.name = "gc_block";
  kind.attributes = {number_attribute("epsilon", 0)};
  kind.weights = {{"mask_weight", 1}, {"mask_bias", 1}, {"w1", 2}, {"b1", 1},
                  {"norm_weight", 1}, {"norm_bias", 1}, {"w2", 2}, {"b2", 1}};
  kind.channels = channels;
  kind.shape = same_shape;
  kind.emit = emit;
  return kind;
}

}  // namespace lpn
