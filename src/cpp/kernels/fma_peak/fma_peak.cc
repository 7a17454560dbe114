#include "kernels/fma_peak/fma_peak.h"

namespace lpn {
namespace {

const Variant<FmaPeakFn> kVariants[] = {
#define LPN_KERNEL(name, isa) {Isa::isa, #name, name},
#include "kernels/fma_peak/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

const Variant<FmaPeakFn>& select_fma_peak(Isa isa) { return select_variant(kVariants, isa); }

}  // namespace lpn
