#include "simd/vec_avx2.h"

#include "kernels/conv/conv-inl.h"

namespace lpn {

static_assert(conv_f32_avx2_panel == kPanel, "kernels.inc names the panel of the tile");

void conv_f32_avx2(const ConvArgs& args) { conv(args); }

}  // namespace lpn
