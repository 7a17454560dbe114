#include <algorithm>
#include <utility>
#include <vector>

#include "engine/passes/passes.h"

namespace lpn {
namespace {

std::size_t at(int tensor) { return static_cast<std::size_t>(tensor); }

// The tensors that cannot lie among another one's channels: the graph's ends, and what some
// operation takes only with its positions one after the other.
std::vector<bool> find_contiguous(const OperationGraph& graph) {
  std::vector<bool> contiguous(graph.tensors.size(), false);
  contiguous[0] = true;
  for (const int output : graph.outputs) contiguous[at(output)] = true;
  for (const std::unique_ptr<Operation>& operation : graph.operations) {
    for (const std::vector<int>& tensors : {operation->reads(), operation->writes()}) {
      for (const int tensor : tensors) {
        if (!operation->takes_stride(tensor)) contiguous[at(tensor)] = true;
      }
    }
  }
  return contiguous;
}

}  // namespace

OperationGraph elide_copies(OperationGraph graph) {
  const std::vector<bool> contiguous = find_contiguous(graph);
  // From the end, so that it is known of a result whether it lies in another one.
  for (auto operation = graph.operations.rbegin(); operation != graph.operations.rend();
       ++operation) {
    std::vector<ChannelCopy>* copies = (*operation)->copies();
    if (copies == nullptr) continue;
    const int output = (*operation)->writes().front();
    const Tensor& result = graph.tensors[at(output)];
    const auto elide = [&](const ChannelCopy& copy) {
      Tensor& input = graph.tensors[at(copy.input)];
      if (contiguous[at(copy.input)] || input.inside >= 0 || input.type != result.type)
        return false;
      input.inside = graph.container(output);
      input.channel = result.channel + copy.channel;
      return true;
    };
    copies->erase(std::remove_if(copies->begin(), copies->end(), elide), copies->end());
    if (copies->empty()) operation->reset();
  }
  graph.remove_moved();
  return graph;
}

}  // namespace lpn
