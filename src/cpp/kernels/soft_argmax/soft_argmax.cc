#include "kernels/soft_argmax/soft_argmax.h"

namespace lpn {
namespace {

const Variant<SoftArgmaxFn> kVariants[] = {
#define LPN_KERNEL(name, isa) {Isa::isa, #name, name},
#include "kernels/soft_argmax/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

const Variant<SoftArgmaxFn>& select_soft_argmax(Isa isa) { return select_variant(kVariants, isa); }

}  // namespace lpn
