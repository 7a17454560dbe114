// That every variant of every operator is reached: by what has its features and no more.
#include "kernels/variants.h"

#include <string>

#include "kernels/add/add.h"
#include "kernels/argmax/argmax.h"
#include "kernels/conv/conv.h"
#include "kernels/convert/convert.h"
#include "kernels/crc32c/crc32c.h"
#include "kernels/crop_affine/crop_affine.h"
#include "kernels/depthwise/depthwise.h"
#include "kernels/fma_peak/fma_peak.h"
#include "kernels/gc_pool/gc_pool.h"
#include "kernels/group_deconv/group_deconv.h"
#include "kernels/matmul/matmul.h"
#include "kernels/max_pool/max_pool.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/se_gate/se_gate.h"
#include "kernels/soft_argmax/soft_argmax.h"
#include "test.h"

namespace lpn {
namespace {

template <class AnyVariant>
void check(const AnyVariant& (*select)(Isa), Isa isa, const std::string& name) {
  EXPECT(select(isa).name == name, select(isa).name, " for the features of ", name);
}

LPN_TEST(every_variant_is_picked_for_its_own_features) {
#define LPN_KERNEL(type, name, isa) check(&select_add<type>, Isa::isa, #name);
#include "kernels/add/kernels.inc"
#undef LPN_KERNEL
#define LPN_KERNEL(name, isa) check(&select_argmax, Isa::isa, #name);
#include "kernels/argmax/kernels.inc"
#undef LPN_KERNEL
#define LPN_KERNEL(in, out, name, isa, panel) check(&select_conv<in, out>, Isa::isa, #name);
#include "kernels/conv/kernels.inc"
#undef LPN_KERNEL
#define LPN_KERNEL(in, out, name, isa) check(&select_convert<in, out>, Isa::isa, #name);
#include "kernels/convert/kernels.inc"
#undef LPN_KERNEL
#define LPN_KERNEL(name, isa) check(&select_crc32c, Isa::isa, #name);
#include "kernels/crc32c/kernels.inc"
#undef LPN_KERNEL
#define LPN_KERNEL(name, isa) check(&select_crop_affine, Isa::isa, #name);
#include "kernels/crop_affine/kernels.inc"
#undef LPN_KERNEL
#define LPN_KERNEL(type, name, isa) check(&select_depthwise<type>, Isa::isa, #name);
#include "kernels/depthwise/kernels.inc"
#undef LPN_KERNEL
#define LPN_KERNEL(type, name, isa) check(&select_fma_peak<type>, Isa::isa, #name);
#include "kernels/fma_peak/kernels.inc"
#undef LPN_KERNEL
#define LPN_KERNEL(type, first, second, isa)      \
  check(&select_gc_pool<type>, Isa::isa, #first); \
  check(&select_gc_transform, Isa::isa, #second);
#include "kernels/gc_pool/kernels.inc"
#undef LPN_KERNEL
#define LPN_KERNEL(type, name, isa, panel) check(&select_group_deconv<type>, Isa::isa, #name);
#include "kernels/group_deconv/kernels.inc"
#undef LPN_KERNEL
#define LPN_KERNEL(name, isa) check(&select_matmul, Isa::isa, #name);
#include "kernels/matmul/kernels.inc"
#undef LPN_KERNEL
#define LPN_KERNEL(type, name, isa) check(&select_max_pool<type>, Isa::isa, #name);
#include "kernels/max_pool/kernels.inc"
#undef LPN_KERNEL
#define LPN_KERNEL(in, out, name, isa, panel) check(&select_pointwise<in, out>, Isa::isa, #name);
#include "kernels/pointwise/kernels.inc"
#undef LPN_KERNEL
#define LPN_KERNEL(type, first, second, isa)          \
  check(&select_channel_sum<type>, Isa::isa, #first); \
  check(&select_se_gate, Isa::isa, #second);
#include "kernels/se_gate/kernels.inc"
#undef LPN_KERNEL
#define LPN_KERNEL(name, isa) check(&select_soft_argmax, Isa::isa, #name);
#include "kernels/soft_argmax/kernels.inc"
#undef LPN_KERNEL
}

}  // namespace
}  // namespace lpn
