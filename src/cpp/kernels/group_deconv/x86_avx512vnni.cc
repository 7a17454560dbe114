#include "simd/vec_avx512.h"

#include "kernels/group_deconv/bytes-inl.h"

namespace lpn {

static_assert(group_deconv_u8_avx512vnni_panel == kTileVectors * F32::kLanes,
              "kernels.inc names the panel of the tile");
static_assert(is_layout_of(Isa::kAvx512Vnni), "quad_layout() knows what the kernel reads");

void group_deconv_u8_avx512vnni(const GroupDeconvArgs<std::uint8_t>& args) { group_deconv(args); }

}  // namespace lpn
