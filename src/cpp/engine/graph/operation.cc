#include "engine/graph/operation.h"

#include <algorithm>

#include "engine/graph/node_kind.h"

namespace lpn {

bool Operation::takes_types(const std::vector<Tensor>& tensors) const {
  for (const std::vector<int>& touched : {reads(), writes()}) {
    for (const int tensor : touched) {
      if (type_of(tensors, tensor) != DType::kF32) return false;
    }
  }
  return true;
}

bool of_one_type(const std::vector<Tensor>& tensors, const std::vector<int>& among) {
  return std::all_of(among.begin(), among.end(), [&](int tensor) {
    return type_of(tensors, tensor) == type_of(tensors, among.front());
  });
}

bool of_one_float(const std::vector<Tensor>& tensors, const std::vector<int>& among) {
  return of_one_type(tensors, among) && type_of(tensors, among.front()) != DType::kU8;
}

bool of_same_bytes(const std::vector<Tensor>& tensors, const std::vector<int>& among) {
  const auto quantization = [&](int tensor) {
    return tensors[static_cast<std::size_t>(tensor)].quantization;
  };
  return all_quantized(tensors, among) && std::all_of(among.begin(), among.end(), [&](int tensor) {
           return type_of(tensors, tensor) == DType::kU8 &&
                  *quantization(tensor) == *quantization(among.front());
         });
}

bool all_quantized(const std::vector<Tensor>& tensors, const std::vector<int>& among) {
  return std::all_of(among.begin(), among.end(), [&](int tensor) {
    return tensors[static_cast<std::size_t>(tensor)].quantization.has_value();
  });
}

OperationGraph::OperationGraph(const Graph& graph)
    : tensors(graph.nodes().size() + 1),
      outputs(graph.outputs()),
      pixels(graph.pixels() && graph.input_channels() == 3 ? &*graph.pixels() : nullptr) {
  for (std::size_t tensor = 0; tensor < tensors.size(); ++tensor) {
    tensors[tensor].channels = graph.channels(tensor);
    tensors[tensor].quantization = graph.quantization(tensor);
  }
  std::vector<bool> needed(tensors.size(), false);
  for (const int output : outputs) needed[static_cast<std::size_t>(output)] = true;
  for (std::size_t i = graph.nodes().size(); i-- > 0;) {
    if (!needed[i + 1]) continue;
    for (const int input : graph.nodes()[i].inputs) needed[static_cast<std::size_t>(input)] = true;
  }
  for (std::size_t i = 0; i < graph.nodes().size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (needed[i + 1]) node.kind->emit(node, static_cast<int>(i) + 1, *this);
  }
}

std::vector<int> OperationGraph::count_readers() const {
  std::vector<int> readers(tensors.size(), 0);
  for (const int output : outputs) ++readers[static_cast<std::size_t>(output)];
  for (const std::unique_ptr<Operation>& operation : operations) {
    for (const int tensor : operation->reads()) ++readers[static_cast<std::size_t>(tensor)];
  }
  return readers;
}

int OperationGraph::container(int tensor) const {
  const int inside = tensors[static_cast<std::size_t>(tensor)].inside;
  return inside >= 0 ? inside : tensor;
}

void OperationGraph::remove_moved() {
  operations.erase(std::remove(operations.begin(), operations.end(), nullptr), operations.end());
}

}  // namespace lpn
