#include "simd/vec_avx512.h"

#include "kernels/group_deconv/group_deconv-inl.h"

namespace lpn {

static_assert(group_deconv_f32_avx512_panel == kPanel, "kernels.inc names the panel of the tile");

void group_deconv_f32_avx512(const GroupDeconvArgs& args) { group_deconv(args); }

}  // namespace lpn
