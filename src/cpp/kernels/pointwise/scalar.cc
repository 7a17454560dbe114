#include "simd/vec_scalar.h"

#include "kernels/pointwise/pointwise-inl.h"

namespace lpn {

void pointwise_f32_scalar(const PointwiseArgs& args) { pointwise(args); }

}  // namespace lpn
