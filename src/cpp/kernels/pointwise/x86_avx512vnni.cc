#include "simd/vec_avx512.h"

#include "kernels/pointwise/quantized-inl.h"

namespace lpn {

static_assert(pointwise_u8_avx512vnni_panel == kPanel, "kernels.inc names the panel of the tile");
static_assert(pointwise_u8f32_avx512vnni_panel == kPanel,
              "kernels.inc names the panel of the tile");

void pointwise_u8_avx512vnni(const PointwiseArgs<uint8_t, uint8_t>& args) {
  quantized_pointwise(args);
}
void pointwise_u8f32_avx512vnni(const PointwiseArgs<uint8_t, float>& args) {
  quantized_pointwise(args);
}

}  // namespace lpn
