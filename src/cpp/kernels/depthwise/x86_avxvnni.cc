#include "simd/vec_avx2.h"

#include "kernels/depthwise/bytes-inl.h"

namespace lpn {

static_assert(is_layout_of(Isa::kAvxVnni), "quad_layout() knows what the kernel reads");

void depthwise_u8_avxvnni(const DepthwiseArgs<std::uint8_t>& args) { depthwise(args); }

}  // namespace lpn
