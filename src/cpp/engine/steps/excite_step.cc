// An attention block's vector for the image: merges the partials and runs the block's two small
// layers.
#include "engine/attention_weights.h"
#include "engine/step_builder.h"
#include "kernels/gc_pool/gc_pool.h"
#include "kernels/se_gate/se_gate.h"

namespace lpn {
namespace {

class ExciteStep : public Step {
 public:
  ExciteStep(Info info, const Operation& operation, const StepBuilder::Pooled& pooled)
      : Step(std::move(info)), operation_(operation), pooled_(pooled) {}

 protected:
  const Operation operation_;
  const StepBuilder::Pooled pooled_;
};

class GcExciteStep final : public ExciteStep {
 public:
  GcExciteStep(Info info, const Operation& operation, const StepBuilder::Pooled& pooled,
               GcTransformFn run, const GcTransformArgs& args)
      : ExciteStep(std::move(info), operation, pooled), run_(run), args_(args) {}

  void run_chunk(const RunContext& context, std::int64_t, int worker) const override {
    float* pooled = context.scratch_of(worker);
    merge_gc_partials(context.tensor(operation_.partials), pooled_.count, pooled_.channels, pooled);
    GcTransformArgs args = args_;
    args.context = pooled;
    args.scratch = pooled + pooled_.channels;
    args.out = context.tensor(operation_.vector);
    run_(args);
  }

 private:
  const GcTransformFn run_;
  const GcTransformArgs args_;
};

class SeExciteStep final : public ExciteStep {
 public:
  SeExciteStep(Info info, const Operation& operation, const StepBuilder::Pooled& pooled,
               SeGateFn run, const SeGateArgs& args)
      : ExciteStep(std::move(info), operation, pooled), run_(run), args_(args) {}

  void run_chunk(const RunContext& context, std::int64_t, int worker) const override {
    float* mean = context.scratch_of(worker);
    merge_channel_sums(context.tensor(operation_.partials), pooled_.count, pooled_.channels,
                       pooled_.positions, mean);
    SeGateArgs args = args_;
    args.mean = mean;
    args.scratch = mean + pooled_.channels;
    args.out = context.tensor(operation_.vector);
    run_(args);
  }

 private:
  const SeGateFn run_;
  const SeGateArgs args_;
};

}  // namespace

std::unique_ptr<Step> make_excite_step(const Operation& operation, StepBuilder& builder) {
  const Node& block = *operation.attention;
  const StepBuilder::Pooled& pooled = builder.pooled[static_cast<std::size_t>(operation.partials)];
  const FirstLayer first = attention_first_layer(block, operation.projection, builder.weights);
  const float* w2 = attention_second_layer(block, builder.weights);
  const std::int64_t hidden = block.weight("w1").shape[0];
  const std::int64_t channels = block.weight("w2").shape[0];
  builder.sizes[static_cast<std::size_t>(operation.vector)] = channels;

  Step::Info info;
  info.name = block.name;
  info.flops = 2.0 * static_cast<double>(hidden) * static_cast<double>(pooled.channels + channels);
  std::int64_t weights = hidden * (pooled.channels + channels);
  if (first.b != nullptr) weights += hidden;
  if (block.kind == NodeKind::kGcBlock) weights += 2 * hidden + channels;  // norm_w, norm_b, b2
  info.bytes = builder.traffic(operation, weights);
  info.scratch = pooled.channels + hidden;
  if (block.kind == NodeKind::kSeBlock) {
    const Variant<SeGateFn>& variant = select_se_gate(builder.isa);
    info.kernel = variant.name;
    info.isa = variant.isa;
    SeGateArgs args{};
    args.c_in = pooled.channels;
    args.hidden = hidden;
    args.c_out = channels;
    args.w1 = first.w;
    args.b1 = first.b;
    args.w2 = w2;
    return std::make_unique<SeExciteStep>(std::move(info), operation, pooled, variant.run, args);
  }
  const Variant<GcTransformFn>& variant = select_gc_transform(builder.isa);
  info.kernel = variant.name;
  info.isa = variant.isa;
  GcTransformArgs args{};
  args.c_in = pooled.channels;
  args.hidden = hidden;
  args.c_out = channels;
  args.w1 = first.w;
  args.b1 = first.b;
  args.norm_w = block.weight("norm_weight").data();
  args.norm_b = block.weight("norm_bias").data();
  args.epsilon = static_cast<float>(block.attributes.epsilon);
  args.w2 = w2;
  args.b2 = block.weight("b2").data();
  // The vector takes the place of the projection's bias in its epilogue, and so has to hold it.
  args.base = operation.projection == nullptr ? nullptr : operation.projection->bias();
  return std::make_unique<GcExciteStep>(std::move(info), operation, pooled, variant.run, args);
}

}  // namespace lpn
