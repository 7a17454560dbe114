#include "simd/vec_scalar.h"

#include "kernels/pointwise/pointwise-inl.h"
#include "kernels/pointwise/quantized-inl.h"

namespace lpn {

static_assert(pointwise_f32_scalar_panel == kPanel, "kernels.inc names the panel of the tile");
static_assert(pointwise_bf16_scalar_panel == kPanel, "kernels.inc names the panel of the tile");
static_assert(pointwise_bf16f32_scalar_panel == kPanel, "kernels.inc names the panel of the tile");
static_assert(pointwise_u8_scalar_panel == kPanel, "kernels.inc names the panel of the tile");
static_assert(pointwise_u8f32_scalar_panel == kPanel, "kernels.inc names the panel of the tile");

void pointwise_f32_scalar(const PointwiseArgs<float, float>& args) { pointwise(args); }
void pointwise_bf16_scalar(const PointwiseArgs<Bfloat16, Bfloat16>& args) { pointwise(args); }
void pointwise_bf16f32_scalar(const PointwiseArgs<Bfloat16, float>& args) { pointwise(args); }
void pointwise_u8_scalar(const PointwiseArgs<uint8_t, uint8_t>& args) { quantized_pointwise(args); }
void pointwise_u8f32_scalar(const PointwiseArgs<uint8_t, float>& args) {
  quantized_pointwise(args);
}

}  // namespace lpn
