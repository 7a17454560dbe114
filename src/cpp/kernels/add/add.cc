#include "kernels/add/add.h"

namespace lpn {
namespace {

template <class T>
const Variant<AddFn<T>> kVariants[] = {
#define LPN_KERNEL(type, name, isa) variant_of<AddFn<T>>(Isa::isa, #name, name),
#include "kernels/add/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

template <class T>
const Variant<AddFn<T>>& select_add(Isa isa) {
  return select_variant(kVariants<T>, isa);
}
template const Variant<AddFn<std::uint8_t>>& select_add<std::uint8_t>(Isa isa);

}  // namespace lpn
