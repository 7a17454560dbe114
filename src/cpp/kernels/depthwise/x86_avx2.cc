#include "simd/vec_avx2.h"

#include "kernels/depthwise/depthwise-inl.h"

namespace lpn {

void depthwise_f32_avx2(const DepthwiseArgs<float>& args) { depthwise(args); }
void depthwise_bf16_avx2(const DepthwiseArgs<Bfloat16>& args) { depthwise(args); }

}  // namespace lpn
