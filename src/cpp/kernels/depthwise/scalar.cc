#include "simd/vec_scalar.h"

#include "kernels/depthwise/bytes-inl.h"
#include "kernels/depthwise/depthwise-inl.h"

namespace lpn {

static_assert(is_layout_of(Isa::kScalar), "quad_layout() knows what the kernel reads");

void depthwise_f32_scalar(const DepthwiseArgs<float>& args) { depthwise(args); }
void depthwise_bf16_scalar(const DepthwiseArgs<Bfloat16>& args) { depthwise(args); }
void depthwise_u8_scalar(const DepthwiseArgs<std::uint8_t>& args) { depthwise(args); }

}  // namespace lpn
