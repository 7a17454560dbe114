#include "simd/vec_avx2.h"

#include "kernels/conv/quantized-inl.h"

namespace lpn {

static_assert(conv_u8_avxvnni_panel == kPanel, "kernels.inc names the panel of the tile");

void conv_u8_avxvnni(const ConvArgs<uint8_t, uint8_t>& args) { quantized_conv(args); }

}  // namespace lpn
