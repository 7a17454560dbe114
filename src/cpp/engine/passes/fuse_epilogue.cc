#include <algorithm>
#include <utility>

#include "engine/ops/add.h"
#include "engine/ops/conv2d.h"
#include "engine/passes/passes.h"

namespace lpn {
namespace {

std::size_t at(int tensor) { return static_cast<std::size_t>(tensor); }

}  // namespace

OperationGraph fuse_epilogue(OperationGraph graph) {
  const std::vector<int> readers = graph.count_readers();
  std::vector<std::size_t> convs(graph.tensors.size(), graph.operations.size());  // by output
  for (std::size_t i = 0; i < graph.operations.size(); ++i) {
    if (auto* conv = dynamic_cast<Conv*>(graph.operations[i].get())) convs[at(conv->output)] = i;
    const auto* add = dynamic_cast<const Add*>(graph.operations[i].get());
    if (add == nullptr) continue;
    for (const int summand : {std::max(add->a, add->b), std::min(add->a, add->b)}) {
      const std::size_t position = convs[at(summand)];
      if (position == graph.operations.size() || readers[at(summand)] != 1) continue;
      auto* conv = static_cast<Conv*>(graph.operations[position].get());
      if (!conv->is_bare()) continue;
      conv->absorb(*add);
      conv->residual = add->a == summand ? add->b : add->a;
      conv->output = add->output;
      conv->activation = add->activation;
      graph.operations[i] = std::move(graph.operations[position]);
      convs[at(conv->output)] = i;
      break;
    }
  }
  graph.remove_moved();
  return graph;
}

}  // namespace lpn
