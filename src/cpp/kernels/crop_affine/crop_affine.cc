#include "kernels/crop_affine/crop_affine.h"

namespace lpn {
namespace {

const Variant<CropAffineFn> kVariants[] = {
#define LPN_KERNEL(name, isa) {Isa::isa, #name, name},
#include "kernels/crop_affine/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

const Variant<CropAffineFn>& select_crop_affine(Isa isa) { return select_variant(kVariants, isa); }

}  // namespace lpn
