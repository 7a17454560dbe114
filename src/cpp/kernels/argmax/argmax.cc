#include "kernels/argmax/argmax.h"

namespace lpn {
namespace {

const Variant<ArgmaxFn> kVariants[] = {
#define LPN_KERNEL(name, isa) {Isa::isa, #name, name},
#include "kernels/argmax/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

const Variant<ArgmaxFn>& select_argmax(Isa isa) { return select_variant(kVariants, isa); }

}  // namespace lpn
