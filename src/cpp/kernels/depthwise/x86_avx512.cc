#include "simd/vec_avx512.h"

#include "kernels/depthwise/bytes-inl.h"
#include "kernels/depthwise/depthwise-inl.h"

namespace lpn {

static_assert(is_layout_of(Isa::kAvx512), "quad_layout() knows what the kernel reads");

void depthwise_f32_avx512(const DepthwiseArgs<float>& args) { depthwise(args); }
void depthwise_bf16_avx512(const DepthwiseArgs<Bfloat16>& args) { depthwise(args); }
void depthwise_u8_avx512(const DepthwiseArgs<std::uint8_t>& args) { depthwise(args); }

}  // namespace lpn
