#include "simd/vec_avx2.h"

#include "kernels/pointwise/pointwise-inl.h"

namespace lpn {

void pointwise_f32_avx2(const PointwiseArgs& args) { pointwise(args); }

}  // namespace lpn
