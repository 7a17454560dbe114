#include "kernels/max_pool/max_pool.h"

namespace lpn {
namespace {

const Variant<MaxPoolFn> kVariants[] = {
#define LPN_KERNEL(name, isa) {Isa::isa, #name, name},
#include "kernels/max_pool/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

const Variant<MaxPoolFn>& select_max_pool(Isa isa) { return select_variant(kVariants, isa); }

}  // namespace lpn
