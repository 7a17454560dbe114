#include <utility>

#include "engine/ops/attention.h"
#include "engine/ops/conv2d.h"
#include "engine/passes/passes.h"

namespace lpn {
namespace {

std::size_t at(int tensor) { return static_cast<std::size_t>(tensor); }

// The operations of a block, as far as they were met.
struct Block {
  Pool* pool = nullptr;
  Excite* excite = nullptr;
};

// Moves the pooling in front of the convolution and the vector into its epilogue.
void project(const Block& block, const Broadcast& broadcast, Conv& projection) {
  block.pool->projection = block.excite->projection = projection.node;
  block.pool->input = projection.input;
  projection.absorb(broadcast);
  projection.vector = broadcast.vector;
  projection.output = broadcast.output;
}

void move_behind_projections(OperationGraph& graph) {
  const std::vector<int> readers = graph.count_readers();
  std::vector<std::size_t> convs(graph.tensors.size(), graph.operations.size());  // by output
  std::vector<Block> blocks(graph.tensors.size());  // by partials and by vector
  for (std::size_t i = 0; i < graph.operations.size(); ++i) {
    Operation* operation = graph.operations[i].get();
    if (dynamic_cast<Conv*>(operation) != nullptr) {
      convs[at(operation->writes().front())] = i;
    } else if (auto* pool = dynamic_cast<Pool*>(operation)) {
      blocks[at(pool->partials)].pool = pool;
    } else if (auto* excite = dynamic_cast<Excite*>(operation)) {
      blocks[at(excite->vector)] = {blocks[at(excite->partials)].pool, excite};
    } else if (auto* broadcast = dynamic_cast<Broadcast*>(operation)) {
      const std::size_t position = convs[at(broadcast->input)];
      if (position == graph.operations.size()) continue;
      auto* conv = static_cast<Conv*>(graph.operations[position].get());
      // Its pooling and its vector's use are what a block reads it for.
      const bool alone = readers[at(broadcast->input)] == 2;
      if (!alone || !conv->is_projection() || !conv->is_bare() || conv->vector) continue;
      project(blocks[at(broadcast->vector.tensor)], *broadcast, *conv);
      graph.operations[i] = std::move(graph.operations[position]);
      convs[at(conv->output)] = i;
    }
  }
}

// Of several poolings of one map, the first.
void move_into_depthwise(OperationGraph& graph) {
  std::vector<Depthwise*> producers(graph.tensors.size(), nullptr);
  for (std::unique_ptr<Operation>& operation : graph.operations) {
    if (auto* depthwise = dynamic_cast<Depthwise*>(operation.get())) {
      producers[at(depthwise->output)] = depthwise;
    } else if (auto* pool = dynamic_cast<Pool*>(operation.get())) {
      Depthwise* producer = producers[at(pool->input)];
      if (producer == nullptr || producer->pool != nullptr) continue;
      producer->absorb(*pool);
      producer->pool.reset(static_cast<Pool*>(operation.release()));
    }
  }
}

}  // namespace

OperationGraph fold_attention(OperationGraph graph) {
  move_behind_projections(graph);
  graph.remove_moved();
  move_into_depthwise(graph);
  graph.remove_moved();
  return graph;
}

}  // namespace lpn
