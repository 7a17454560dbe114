#include "simd/vec_avx512.h"

#include "kernels/depthwise/bytes-inl.h"

namespace lpn {

static_assert(is_layout_of(Isa::kAvx512Vnni), "quad_layout() knows what the kernel reads");

void depthwise_u8_avx512vnni(const DepthwiseArgs<std::uint8_t>& args) { depthwise(args); }

}  // namespace lpn
