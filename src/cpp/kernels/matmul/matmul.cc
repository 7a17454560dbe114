#include "kernels/matmul/matmul.h"

namespace lpn {
namespace {

const Variant<MatmulFn> kVariants[] = {
#define LPN_KERNEL(name, isa) {Isa::isa, #name, name},
#include "kernels/matmul/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

const Variant<MatmulFn>& select_matmul(Isa isa) { return select_variant(kVariants, isa); }

}  // namespace lpn
