#include "kernels/convert/convert.h"

namespace lpn {
namespace {

template <class In, class Out>
const Variant<ConvertFn<In, Out>> kVariants[] = {
#define LPN_KERNEL(in, out, name, isa) variant_of<ConvertFn<In, Out>>(Isa::isa, #name, name),
#include "kernels/convert/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

template <class In, class Out>
const Variant<ConvertFn<In, Out>>& select_convert(Isa isa) {
  return select_variant(kVariants<In, Out>, isa);
}
template const Variant<ConvertFn<std::uint8_t, float>>& select_convert(Isa isa);
template const Variant<ConvertFn<float, std::uint8_t>>& select_convert(Isa isa);
template const Variant<ConvertFn<std::uint8_t, Bfloat16>>& select_convert(Isa isa);
template const Variant<ConvertFn<Bfloat16, std::uint8_t>>& select_convert(Isa isa);
template const Variant<ConvertFn<Bfloat16, float>>& select_convert(Isa isa);
template const Variant<ConvertFn<float, Bfloat16>>& select_convert(Isa isa);

}  // namespace lpn
