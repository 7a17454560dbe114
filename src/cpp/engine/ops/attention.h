// Attention blocks, described: a map is pooled to a vector in partials, the block's layers make
// another vector of it ("excite"), and that is added to every position (a bias) or scales it. A
// kind of attention block gives the first two a file of its own; fold_attention moves all three to
// where they cost least.
#pragma once

#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/isa.h"
#include "engine/graph/operation.h"
#include "engine/plan/attention_weights.h"
#include "engine/plan/step.h"
#include "engine/plan/step_builder.h"

namespace lpn {

// What is done with a vector of one value per channel.
enum class VectorUse { kBias, kScale };

struct ChannelVector {
  int tensor;
  VectorUse use;
};

// Reduces runs of positions to one partial each; made for one map, of one type, on one tier.
class Pooling {
 public:
  struct Info {
    const char* kernel;
    Isa isa;
    std::int64_t partial_size;              // floats
    std::int64_t scratch_per_position = 0;  // floats
    std::int64_t weight_bytes = 0;
  };

  explicit Pooling(const Info& info) : info_(info) {}
  virtual ~Pooling() = default;

  const Info& info() const { return info_; }

  // From x on, elements of the map's type.
  virtual void run(const void* x, std::int64_t positions, float* partial, float* scratch) const = 0;

 private:
  const Info info_;
};

// Pools a map as a pass of its own, unless it is moved into the operation that writes the map.
struct Pool : Operation {
  Pool(const Node& of, int map, int parts) : Operation(of), input(map), partials(parts) {}

  virtual std::shared_ptr<const Pooling> make_pooling(std::int64_t channels,
                                                      StepBuilder& builder) const = 0;
  // Of one pixel.
  double flops(std::int64_t channels) const { return 4.0 * static_cast<double>(channels); }

  std::vector<int> reads() const final { return {input}; }
  std::vector<int> writes() const final { return {partials}; }
  void redirect(int from, int to) final {
    redirect_tensor(input, from, to);
    redirect_tensor(partials, from, to);
  }
  bool takes_types(const std::vector<Tensor>& tensors) const final {
    // Of pixels there is no scale to pool the bytes by.
    return type_of(tensors, partials) == DType::kF32 &&
           (type_of(tensors, input) != DType::kU8 || all_quantized(tensors, {input}));
  }
  std::unique_ptr<Step> make_step(StepBuilder& builder) const final;

  // Of a map of `positions` pixels and `channels` channels in `chunks` chunks: tells the builder
  // the shape of the partials.
  void declare_partials(const Pooling& pooling, std::int64_t chunks, std::int64_t positions,
                        std::int64_t channels, StepBuilder& builder) const;

  int input;
  int partials;
  const Node* projection = nullptr;  // the 1x1 convolution that the pooling was moved in front of
};

// Pools to partial sums of the channels.
struct MeanPool final : Pool {
  using Pool::Pool;
  std::shared_ptr<const Pooling> make_pooling(std::int64_t channels,
                                              StepBuilder& builder) const override;
};

// The block's vector for the image, from its pooled partials.
struct Excite : Operation {
  Excite(const Node& of, int parts, int result) : Operation(of), partials(parts), vector(result) {}

  std::vector<int> reads() const final { return {partials}; }
  std::vector<int> writes() const final { return {vector}; }
  void redirect(int from, int to) final {
    redirect_tensor(partials, from, to);
    redirect_tensor(vector, from, to);
  }

  int partials;
  int vector;
  const Node* projection = nullptr;  // as the pooling's
};

// Packed weights of a block's two layers.
struct AttentionLayers {
  FirstLayer first;
  const float* w2;        // [hidden][channels]
  std::int64_t hidden;    // units between the two
  std::int64_t channels;  // of the vector
  std::int64_t weight_bytes;
};

// Checks the weights w1 (h, c) and w2 (c, h) of a block on `channels` channels; h.
std::int64_t check_layers(const Node& node, std::int64_t channels);

// For an Excite whose partials were declared; declares the vector.
AttentionLayers make_layers(const Excite& excite, StepBuilder& builder);

// Name, operations and scratch of the step: the pooled values and the hidden ones.
Step::Info excite_info(const Excite& excite, const AttentionLayers& layers,
                       const StepBuilder& builder);

// Merges the partials and runs the block's two small layers. `Args` are those of the kernel for the
// layers, whose `input` the merged values are.
template <class Args>
class ExciteStep final : public Step {
 public:
  using Run = void (*)(const Args& args);
  using Merge = void (*)(const float* partials, const StepBuilder::Pooled& pooled, float* merged);

  ExciteStep(Info info, const Excite& excite, const StepBuilder::Pooled& pooled, Merge merge,
             const float* Args::* input, Run run, const Args& args)
      : Step(std::move(info)),
        partials_(excite.partials),
        vector_(excite.vector),
        pooled_(pooled),
        merge_(merge),
        input_(input),
        run_(run),
        args_(args) {}

  void run_chunk(const RunContext& context, std::int64_t, int worker) const override {
    float* merged = context.scratch_of<float>(worker);
    merge_(context.tensor<float>(partials_), pooled_, merged);
    Args args = args_;
    args.*input_ = merged;
    args.scratch = merged + pooled_.channels;
    args.out = context.tensor<float>(vector_);
    run_(args);
  }

 private:
  const int partials_, vector_;
  const StepBuilder::Pooled pooled_;
  const Merge merge_;
  const float* Args::* const input_;
  const Run run_;
  const Args args_;
};

// What the kernels for the layers of every block take.
template <class Args>
Args layer_args(const StepBuilder::Pooled& pooled, const AttentionLayers& layers) {
  Args args{};
  args.c_in = pooled.channels;
  args.hidden = layers.hidden;
  args.c_out = layers.channels;
  args.w1 = layers.first.w;
  args.b1 = layers.first.b;
  args.w2 = layers.w2;
  return args;
}

// The vector onto every position, as a pass of its own.
struct Broadcast final : Operation {
  Broadcast(const Node& of, int map, const ChannelVector& onto, int result)
      : Operation(of), input(map), vector(onto), output(result) {}

  std::vector<int> reads() const override { return {input, vector.tensor}; }
  std::vector<int> writes() const override { return {output}; }
  void redirect(int from, int to) override {
    for (int* tensor : {&input, &vector.tensor, &output}) redirect_tensor(*tensor, from, to);
  }
  bool takes_stride(int tensor) const override { return tensor == input || tensor == output; }
  bool takes_types(const std::vector<Tensor>& tensors) const override {
    return type_of(tensors, vector.tensor) == DType::kF32 && of_one_float(tensors, {input, output});
  }
  std::unique_ptr<Step> make_step(StepBuilder& builder) const override;

  int input;
  ChannelVector vector;
  int output;
};

// Adds the three operations of a block.
template <class PoolOfKind, class ExciteOfKind>
void emit_attention(const Node& node, int output, VectorUse use, OperationGraph& graph) {
  const int input = node.inputs[0];
  const int partials = graph.add_tensor();
  const int vector = graph.add_tensor();
  graph.add(std::make_unique<PoolOfKind>(node, input, partials));
  graph.add(std::make_unique<ExciteOfKind>(node, partials, vector));
  graph.add(std::make_unique<Broadcast>(node, input, ChannelVector{vector, use}, output));
}

}  // namespace lpn
