#include "simd/vec_scalar.h"

#include "kernels/pointwise/pointwise-inl.h"

namespace lpn {

static_assert(pointwise_f32_scalar_panel == kPanel, "kernels.inc names the panel of the tile");

void pointwise_f32_scalar(const PointwiseArgs& args) { pointwise(args); }

}  // namespace lpn
