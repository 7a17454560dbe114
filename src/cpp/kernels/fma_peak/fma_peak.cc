#include "kernels/fma_peak/fma_peak.h"

namespace lpn {
namespace {

template <class T>
const Variant<FmaPeakFn<T>> kVariants[] = {
#define LPN_KERNEL(type, name, isa) variant_of<FmaPeakFn<T>>(Isa::isa, #name, name),
#include "kernels/fma_peak/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

template <class T>
const Variant<FmaPeakFn<T>>& select_fma_peak(Isa isa) {
  return select_variant(kVariants<T>, isa);
}
template const Variant<FmaPeakFn<float>>& select_fma_peak<float>(Isa);
template const Variant<FmaPeakFn<Bfloat16>>& select_fma_peak<Bfloat16>(Isa);
template const Variant<FmaPeakFn<std::uint8_t>>& select_fma_peak<std::uint8_t>(Isa);

}  // namespace lpn
