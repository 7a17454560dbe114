#include "engine/plan/step_builder.h"

#include <set>

namespace lpn {

double StepBuilder::traffic(const Operation& operation, std::int64_t weight_floats) const {
  std::int64_t floats = weight_floats;
  std::set<int> tensors;
  for (const int tensor : operation.reads()) tensors.insert(tensor);
  for (const int tensor : operation.writes()) tensors.insert(tensor);
  for (const int tensor : tensors) floats += sizes[static_cast<std::size_t>(tensor)];
  return static_cast<double>(floats) * sizeof(float);
}

std::int64_t weight_count(const Node& node) {
  std::size_t count = 0;
  for (const auto& named : node.weights) count += named.second.values->size();
  return static_cast<std::int64_t>(count);
}

}  // namespace lpn
