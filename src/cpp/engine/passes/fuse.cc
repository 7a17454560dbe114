#include <utility>

#include "engine/passes/passes.h"

namespace lpn {

OperationGraph fuse(const Graph& graph, Precision precision) {
  OperationGraph fused = join_upsampling(fuse_epilogue(fold_attention(OperationGraph(graph))));
  return elide_copies(choose_types(std::move(fused), precision));
}

}  // namespace lpn
