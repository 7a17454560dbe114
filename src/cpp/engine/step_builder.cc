#include "engine/step_builder.h"

namespace lpn {

std::unique_ptr<Step> make_step(const Operation& operation, StepBuilder& builder) {
  switch (operation.kind) {
    case OperationKind::kConv:
      return is_pointwise(*operation.node) ? make_pointwise_step(operation, builder)
                                           : make_conv_step(operation, builder);
    case OperationKind::kDepthwise:
      return make_depthwise_step(operation, builder);
    case OperationKind::kConvTranspose:
      return make_conv_transpose_step(operation, builder);
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
