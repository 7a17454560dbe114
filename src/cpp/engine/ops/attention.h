// Attention blocks, described: a map is pooled to a vector in partials, the block's layers make
// another vector of it ("excite"), and that is added to every position (a bias) or scales it. A
// kind of attention block gives the first two a file of its own; fold_attention moves all three to
// where they cost least.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "base/isa.h"
#include "engine/graph/operation.h"
#include "engine/plan/attention_weights.h"
#include "engine/plan/step.h"

namespace lpn {

// What is done with a vector of one value per channel.
enum class VectorUse { kBias, kScale };

struct ChannelVector {
  int tensor;
  VectorUse use;
};

// Reduces runs of positions to one partial each; made for one map on one tier.
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

  virtual void run(const float* x, std::int64_t positions, float* partial,
                   float* scratch) const = 0;

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

// For an Excite whose partials were declared; declares the vector.
AttentionLayers make_layers(const Excite& excite, StepBuilder& builder);

// Name, operations and scratch of the step: the pooled values and the hidden ones.
Step::Info excite_info(const Excite& excite, const AttentionLayers& layers,
                       const StepBuilder& builder);

// The vector onto every position, as a pass of its own.
struct Broadcast final : Operation {
  Broadcast(const Node& of, int map, const ChannelVector& onto, int result)
      : Operation(of), input(map), vector(onto), output(result) {}

  std::vector<int> reads() const override { return {input, vector.tensor}; }
  std::vector<int> writes() const override { return {output}; }
  bool takes_stride(int tensor) const override { return tensor == input || tensor == output; }
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
