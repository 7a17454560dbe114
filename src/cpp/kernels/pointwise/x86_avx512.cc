#include "simd/vec_avx512.h"

#include "kernels/pointwise/pointwise-inl.h"

namespace lpn {

void pointwise_f32_avx512(const PointwiseArgs& args) { pointwise(args); }

}  // namespace lpn
