// What every step that runs 1x1 convolutions needs of them.
#pragma once

#include "engine/ops/conv2d.h"
#include "engine/plan/step_builder.h"
#include "kernels/pointwise/pointwise.h"

namespace lpn {

// Everything but the pointers and the count of positions, for positions one after the other.
PointwiseArgs pointwise_args(const Conv& conv, StepBuilder& builder);

double pointwise_flops(const Conv& conv, const StepBuilder& builder);

}  // namespace lpn
