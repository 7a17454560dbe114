#include "engine/step_builder.h"

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

std::unique_ptr<Step> make_step(const Operation& operation, StepBuilder& builder) {
  switch (operation.kind) {
    case OperationKind::kConv:
      return is_pointwise(*operation.node) ? make_pointwise_step(operation, builder)
                                           : make_conv_step(operation, builder);
    case OperationKind::kDepthwise:
      return make_depthwise_step(operation, builder);
    case OperationKind::kConvTranspose:
      return make_conv_transpose_step(operation, builder);
    case OperationKind::kUpsample:
      return make_upsample_step(operation, builder);
    case OperationKind::kMaxPool:
      return make_max_pool_step(operation, builder);
    case OperationKind::kAdd:
      return make_add_step(operation, builder);
    case OperationKind::kPool:
      return make_pool_step(operation, builder);
    case OperationKind::kExcite:
      return make_excite_step(operation, builder);
    case OperationKind::kBroadcast:
      return make_broadcast_step(operation, builder);
  }
  return nullptr;
}

}  // namespace lpn
