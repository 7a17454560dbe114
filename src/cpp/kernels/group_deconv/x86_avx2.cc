#include "simd/vec_avx2.h"

#include "kernels/group_deconv/bytes-inl.h"
#include "kernels/group_deconv/group_deconv-inl.h"

namespace lpn {

static_assert(group_deconv_f32_avx2_panel == kPanel, "kernels.inc names the panel of the tile");
static_assert(group_deconv_bf16_avx2_panel == kPanel, "kernels.inc names the panel of the tile");
static_assert(group_deconv_u8_avx2_panel == kTileVectors * F32::kLanes,
              "kernels.inc names the panel of the tile");
static_assert(is_layout_of(Isa::kAvx2), "quad_layout() knows what the kernel reads");

void group_deconv_f32_avx2(const GroupDeconvArgs<float>& args) { group_deconv(args); }
void group_deconv_bf16_avx2(const GroupDeconvArgs<Bfloat16>& args) { group_deconv(args); }
void group_deconv_u8_avx2(const GroupDeconvArgs<std::uint8_t>& args) { group_deconv(args); }

}  // namespace lpn
