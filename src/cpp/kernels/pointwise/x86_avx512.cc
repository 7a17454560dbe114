#include "simd/vec_avx512.h"

#include "kernels/pointwise/pointwise-inl.h"

namespace lpn {

static_assert(pointwise_f32_avx512_panel == kPanel, "kernels.inc names the panel of the tile");

void pointwise_f32_avx512(const PointwiseArgs& args) { pointwise(args); }

}  // namespace lpn
