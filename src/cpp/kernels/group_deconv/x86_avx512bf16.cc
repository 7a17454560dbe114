#include "simd/vec_avx512.h"

#include "kernels/group_deconv/group_deconv-inl.h"

namespace lpn {

static_assert(group_deconv_bf16_avx512bf16_panel == kPanel,
              "kernels.inc names the panel of the tile");

void group_deconv_bf16_avx512bf16(const GroupDeconvArgs<Bfloat16>& args) { group_deconv(args); }

}  // namespace lpn
