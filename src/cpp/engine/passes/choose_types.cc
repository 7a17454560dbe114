#include <vector>

#include "engine/passes/passes.h"

namespace lpn {
namespace {

std::size_t at(int tensor) { return static_cast<std::size_t>(tensor); }

std::vector<int> touched_by(const Operation& operation) {
  std::vector<int> tensors = operation.reads();
  for (const int tensor : operation.writes()) tensors.push_back(tensor);
  return tensors;
}

// Tensors whose number of channels the graph knows are nodes' results; the others lie between the
// operations of one node.
void narrow_results(OperationGraph& graph, DType type) {
  for (std::size_t tensor = 1; tensor < graph.tensors.size(); ++tensor) {
    if (graph.tensors[tensor].channels > 0) graph.tensors[tensor].type = type;
  }
  for (const int output : graph.outputs) graph.tensors[at(output)].type = DType::kF32;
}

// Every tensor is widened at most once, and only then are its operations looked at again.
void widen_what_is_not_taken(OperationGraph& graph) {
  std::vector<std::vector<const Operation*>> users(graph.tensors.size());
  std::vector<const Operation*> waiting;
  for (const std::unique_ptr<Operation>& operation : graph.operations) {
    waiting.push_back(operation.get());
    for (const int tensor : touched_by(*operation)) users[at(tensor)].push_back(operation.get());
  }
  while (!waiting.empty()) {
    const Operation* operation = waiting.back();
    waiting.pop_back();
    if (operation->takes_types(graph.tensors)) continue;
    for (const int tensor : touched_by(*operation)) {
      if (graph.tensors[at(tensor)].type == DType::kF32) continue;
      graph.tensors[at(tensor)].type = DType::kF32;
      waiting.insert(waiting.end(), users[at(tensor)].begin(), users[at(tensor)].end());
    }
  }
}

}  // namespace

OperationGraph choose_types(OperationGraph graph, Precision precision) {
  if (precision == Precision::kFp32) return graph;
  narrow_results(graph, DType::kBf16);
  widen_what_is_not_taken(graph);
  return graph;
}

}  // namespace lpn
