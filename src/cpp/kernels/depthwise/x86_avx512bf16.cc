#include "simd/vec_avx512.h"

#include "kernels/depthwise/depthwise-inl.h"

namespace lpn {

void depthwise_bf16_avx512bf16(const DepthwiseArgs<Bfloat16>& args) { depthwise(args); }

}  // namespace lpn
