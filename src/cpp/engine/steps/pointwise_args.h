// What every step that runs 1x1 convolutions needs of them.
#pragma once

#include "engine/step_builder.h"
#include "kernels/pointwise/pointwise.h"

namespace lpn {

// Everything but the pointers and the count of positions, for positions one after the other.
PointwiseArgs pointwise_args(const Operation& operation, StepBuilder& builder);

double pointwise_flops(const Operation& operation, const StepBuilder& builder);

}  // namespace lpn
