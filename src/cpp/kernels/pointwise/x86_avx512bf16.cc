#include "simd/vec_avx512.h"

#include "kernels/pointwise/pointwise-inl.h"

namespace lpn {

static_assert(pointwise_bf16_avx512bf16_panel == kPanel, "kernels.inc names the panel of the tile");
static_assert(pointwise_bf16f32_avx512bf16_panel == kPanel,
              "kernels.inc names the panel of the tile");

void pointwise_bf16_avx512bf16(const PointwiseArgs<Bfloat16, Bfloat16>& args) { pointwise(args); }
void pointwise_bf16f32_avx512bf16(const PointwiseArgs<Bfloat16, float>& args) { pointwise(args); }

}  // namespace lpn
