// The mean of every channel: the partial sums of squeeze-and-excitation, merged in their order.
#include "base/bfloat16.h"
#include "engine/graph/node_kind.h"
#include "engine/ops/attention.h"
#include "engine/plan/step_builder.h"
#include "kernels/se_gate/se_gate.h"

namespace lpn {
namespace {

std::int64_t channels(const Node&, const std::vector<std::int64_t>& inputs) { return inputs[0]; }

Shape shape(const Node&, const std::vector<Shape>&, std::int64_t out_channels) {
  return {1, 1, out_channels};
}

struct Mean final : Operation {
  Mean(const Node& of, int parts, int result) : Operation(of), partials(parts), output(result) {}

  std::vector<int> reads() const override { return {partials}; }
  std::vector<int> writes() const override { return {output}; }
  void redirect(int from, int to) override {
    redirect_tensor(partials, from, to);
    redirect_tensor(output, from, to);
  }
  // One position has no stride.
  bool takes_stride(int tensor) const override { return tensor == output; }
  bool takes_types(const std::vector<Tensor>& tensors) const override {
    return type_of(tensors, partials) == DType::kF32 && type_of(tensors, output) != DType::kU8;
  }
  std::unique_ptr<Step> make_step(StepBuilder& builder) const override;

  int partials;
  int output;
};

void emit(const Node& node, int output, OperationGraph& graph) {
  const int partials = graph.add_tensor();
  graph.add(std::make_unique<MeanPool>(node, node.inputs[0], partials));
  graph.add(std::make_unique<Mean>(node, partials, output));
}

template <class T>
class MeanStep final : public Step {
 public:
  MeanStep(Info info, const Mean& mean, const StepBuilder::Pooled& pooled)
      : Step(std::move(info)), partials_(mean.partials), output_(mean.output), pooled_(pooled) {}

  void run_chunk(const RunContext& context, std::int64_t, int worker) const override {
    float* const means = context.scratch_of<float>(worker);
    merge_channel_sums(context.tensor<float>(partials_), pooled_.count, pooled_.channels,
                       pooled_.positions, means);
    T* const out = context.tensor<T>(output_);
    for (std::int64_t c = 0; c < pooled_.channels; ++c) out[c] = narrow<T>(number(means[c]));
  }

 private:
  // Bytes are pooled as they are.
  float number(float mean) const {
    if (!pooled_.quantization) return mean;
    return (mean - static_cast<float>(pooled_.quantization->zero_point)) *
           pooled_.quantization->scale;
  }

  const int partials_, output_;
  const StepBuilder::Pooled pooled_;
};

std::unique_ptr<Step> Mean::make_step(StepBuilder& builder) const {
  const StepBuilder::Pooled& pooled = builder.pooled[static_cast<std::size_t>(partials)];
  Step::Info info;
  info.name = node->name;
  info.kernel = "mean";
  info.flops = static_cast<double>(pooled.count * pooled.channels);
  info.bytes = builder.traffic(*this, 0);
  info.scratch_bytes = bytes_of<float>(pooled.channels);
  return with_elements(builder.type(output), [&](auto zero) -> std::unique_ptr<Step> {
    return std::make_unique<MeanStep<decltype(zero)>>(std::move(info), *this, pooled);
  });
}

}  // namespace

NodeKind global_avg_pool_kind() {
  NodeKind kind;
  kind.name = "global_avg_pool";
  kind.channels = channels;
  kind.shape = shape;
  kind.emit = emit;
  return kind;
}

}  // namespace lpn
