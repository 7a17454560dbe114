#include "simd/vec_avx512.h"

#include "kernels/depthwise/depthwise-inl.h"

namespace lpn {

void depthwise_f32_avx512(const DepthwiseArgs& args) { depthwise(args); }

}  // namespace lpn
