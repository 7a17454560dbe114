#include <utility>

#include "engine/ops/conv_transpose2d.h"
#include "engine/passes/passes.h"

namespace lpn {
namespace {

// Whether the convolution needs nothing but the rows at hand.
bool works_by_rows(const Conv& conv) {
  return conv.is_projection() && !conv.vector && !conv.residual;
}

template <class T>
std::unique_ptr<T> take(std::unique_ptr<Operation>& operation) {
  return std::unique_ptr<T>(static_cast<T*>(operation.release()));
}

}  // namespace

OperationGraph join_upsampling(OperationGraph graph) {
  const std::vector<int> readers = graph.count_readers();
  std::size_t last = graph.operations.size();  // the upsampling right before
  for (std::size_t i = 0; i < graph.operations.size(); ++i) {
    std::unique_ptr<Operation>& operation = graph.operations[i];
    const auto* conv = dynamic_cast<const Conv*>(operation.get());
    if (last < graph.operations.size() && conv != nullptr) {
      std::unique_ptr<Operation>& before = graph.operations[last];
      const int result = before->writes().front();
      if (conv->input == result && readers[static_cast<std::size_t>(result)] == 1 &&
          works_by_rows(*conv)) {
        if (dynamic_cast<Upsample*>(before.get()) == nullptr)
          before = std::make_unique<Upsample>(take<ConvTranspose>(before));
        static_cast<Upsample&>(*before).projections.push_back(take<Conv>(operation));
        continue;
      }
    }
    last = dynamic_cast<ConvTranspose*>(operation.get()) != nullptr ? i : graph.operations.size();
  }
  graph.remove_moved();
  return graph;
}

}  // namespace lpn
