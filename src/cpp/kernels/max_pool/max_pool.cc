#include "kernels/max_pool/max_pool.h"

namespace lpn {
namespace {

template <class T>
const Variant<MaxPoolFn<T>> kVariants[] = {
#define LPN_KERNEL(type, name, isa) variant_of<MaxPoolFn<T>>(Isa::isa, #name, name),
#include "kernels/max_pool/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

template <class T>
const Variant<MaxPoolFn<T>>& select_max_pool(Isa isa) {
  return select_variant(kVariants<T>, isa);
}
template const Variant<MaxPoolFn<float>>& select_max_pool<float>(Isa isa);
template const Variant<MaxPoolFn<Bfloat16>>& select_max_pool<Bfloat16>(Isa isa);
template const Variant<MaxPoolFn<std::uint8_t>>& select_max_pool<std::uint8_t>(Isa isa);

}  // namespace lpn
