#include "simd/vec_avx512.h"

#include "kernels/conv/quantized-inl.h"

namespace lpn {

static_assert(conv_u8_avx512vnni_panel == kPanel, "kernels.inc names the panel of the tile");

void conv_u8_avx512vnni(const ConvArgs<uint8_t, uint8_t>& args) { quantized_conv(args); }

}  // namespace lpn
