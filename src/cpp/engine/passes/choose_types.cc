#include <memory>
#include <utility>
#include <vector>

#include "engine/ops/cast.h"
#include "engine/passes/passes.h"

namespace lpn {
namespace {

std::size_t at(int tensor) { return static_cast<std::size_t>(tensor); }

std::vector<int> touched_by(const Operation& operation) {
  std::vector<int> tensors = operation.reads();
  for (const int tensor : operation.writes()) tensors.push_back(tensor);
  return tensors;
}

// Gives operations bytes where they take them, and floats, which others make of bytes and bytes
// of, where they do not.
class IntegerTypes {
 public:
  explicit IntegerTypes(OperationGraph& graph) : graph_(graph) {
    for (Tensor& tensor : graph_.tensors) {
      if (tensor.quantization) tensor.type = DType::kU8;
    }
    if (graph_.pixels != nullptr) graph_.tensors[0].type = DType::kU8;
    for (const int output : graph_.outputs) graph_.tensors[at(output)].type = DType::kF32;
    floats_.assign(graph_.tensors.size(), -1);
  }

  void choose() {
    std::vector<std::unique_ptr<Operation>> operations;
    operations.swap(graph_.operations);
    for (std::unique_ptr<Operation>& operation : operations) {
      if (!operation->keeps_float() && operation->takes_types(graph_.tensors)) {
        graph_.add(std::move(operation));
      } else {
        add_float(std::move(operation));
      }
    }
    remove_unread();
  }

 private:
  bool is_bytes(int tensor) const { return graph_.tensors[at(tensor)].type == DType::kU8; }

  void add_float(std::unique_ptr<Operation> operation) {
    for (const int tensor : operation->reads()) {
      if (!is_bytes(tensor)) continue;
      if (floats_[at(tensor)] < 0) {
        floats_[at(tensor)] = graph_.add_copy(tensor, DType::kF32);
        graph_.add(std::make_unique<Cast>(*operation->node, tensor, floats_[at(tensor)]));
      }
      operation->redirect(tensor, floats_[at(tensor)]);
    }
    const Node& node = *operation->node;
    std::vector<int> narrowed;
    for (const int tensor : operation->writes()) {
      if (!is_bytes(tensor)) continue;
      floats_[at(tensor)] = graph_.add_copy(tensor, DType::kF32);
      operation->redirect(tensor, floats_[at(tensor)]);
      narrowed.push_back(tensor);
    }
    graph_.add(std::move(operation));
    for (const int tensor : narrowed)
      graph_.add(std::make_unique<Cast>(node, floats_[at(tensor)], tensor));
  }

  // Bytes of what only operations on floats read.
  void remove_unread() {
    const std::vector<int> readers = graph_.count_readers();
    for (std::unique_ptr<Operation>& operation : graph_.operations) {
      const auto* cast = dynamic_cast<const Cast*>(operation.get());
      if (cast != nullptr && readers[at(cast->output)] == 0) operation.reset();
    }
    graph_.remove_moved();
  }

  OperationGraph& graph_;
  std::vector<int> floats_;  // by tensor: the same map as floats, or -1
};

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
  if (precision == Precision::kInt8) {
    IntegerTypes(graph).choose();
    return graph;
  }
  narrow_results(graph, DType::kBf16);
  widen_what_is_not_taken(graph);
  return graph;
}

}  // namespace lpn
