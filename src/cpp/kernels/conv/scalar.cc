#include "simd/vec_scalar.h"

#include "kernels/conv/conv-inl.h"

namespace lpn {

static_assert(conv_f32_scalar_panel == kPanel, "kernels.inc names the panel of the tile");

void conv_f32_scalar(const ConvArgs& args) { conv(args); }

}  // namespace lpn
