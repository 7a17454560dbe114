#include "simd/vec_avx512.h"

#include "kernels/conv/conv-inl.h"

namespace lpn {

static_assert(conv_f32_avx512_panel == kPanel, "kernels.inc names the panel of the tile");

void conv_f32_avx512(const ConvArgs& args) { conv(args); }

}  // namespace lpn
