#include "simd/vec_scalar.h"

#include "kernels/depthwise/depthwise-inl.h"

namespace lpn {

void depthwise_f32_scalar(const DepthwiseArgs<float>& args) { depthwise(args); }
void depthwise_bf16_scalar(const DepthwiseArgs<Bfloat16>& args) { depthwise(args); }

}  // namespace lpn
