#include "simd/vec_scalar.h"

#include "kernels/conv/conv-inl.h"
#include "kernels/conv/quantized-inl.h"

namespace lpn {

static_assert(conv_f32_scalar_panel == kPanel, "kernels.inc names the panel of the tile");
static_assert(conv_bf16_scalar_panel == kPanel, "kernels.inc names the panel of the tile");
static_assert(conv_f32bf16_scalar_panel == kPanel, "kernels.inc names the panel of the tile");
static_assert(conv_u8_scalar_panel == kPanel, "kernels.inc names the panel of the tile");

void conv_f32_scalar(const ConvArgs<float, float>& args) { conv(args); }
void conv_bf16_scalar(const ConvArgs<Bfloat16, Bfloat16>& args) { conv(args); }
void conv_f32bf16_scalar(const ConvArgs<float, Bfloat16>& args) { conv(args); }
void conv_u8_scalar(const ConvArgs<uint8_t, uint8_t>& args) { quantized_conv(args); }

}  // namespace lpn
