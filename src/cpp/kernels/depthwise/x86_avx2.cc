#include "simd/vec_avx2.h"

#include "kernels/depthwise/depthwise-inl.h"

namespace lpn {

void depthwise_f32_avx2(const DepthwiseArgs& args) { depthwise(args); }

}  // namespace lpn
