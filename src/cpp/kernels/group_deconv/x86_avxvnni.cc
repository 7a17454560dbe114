#include "simd/vec_avx2.h"

#include "kernels/group_deconv/bytes-inl.h"

namespace lpn {

static_assert(group_deconv_u8_avxvnni_panel == kTileVectors * F32::kLanes,
              "kernels.inc names the panel of the tile");
static_assert(is_layout_of(Isa::kAvxVnni), "quad_layout() knows what the kernel reads");

void group_deconv_u8_avxvnni(const GroupDeconvArgs<std::uint8_t>& args) { group_deconv(args); }

}  // namespace lpn
