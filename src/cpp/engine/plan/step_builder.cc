#include "engine/plan/step_builder.h"

#include <set>

namespace lpn {

double StepBuilder::traffic(const Operation& operation, std::int64_t weight_bytes) const {
  std::int64_t bytes = weight_bytes;
  std::set<int> tensors;
  for (const int tensor : operation.reads()) tensors.insert(tensor);
  for (const int tensor : operation.writes()) tensors.insert(tensor);
  for (const int tensor : tensors) bytes += shape(tensor).size() * size_of(type(tensor));
  return static_cast<double>(bytes);
}

std::int64_t weight_bytes(const Node& node, DType factors) {
  std::int64_t bytes = 0;
  for (const auto& [name, weight] : node.weights) {
    const auto count = static_cast<std::int64_t>(weight.values->size());
    bytes += count * size_of(name == "weight" ? factors : DType::kF32);
  }
  return bytes;
}

}  // namespace lpn
