#include "simd/vec_scalar.h"

#include "kernels/depthwise/depthwise-inl.h"

namespace lpn {

void depthwise_f32_scalar(const DepthwiseArgs& args) { depthwise(args); }

}  // namespace lpn
