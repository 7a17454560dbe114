#include "engine/passes/passes.h"

namespace lpn {

OperationGraph fuse(const Graph& graph) {
  return elide_copies(join_upsampling(fuse_epilogue(fold_attention(OperationGraph(graph)))));
}

}  // namespace lpn
