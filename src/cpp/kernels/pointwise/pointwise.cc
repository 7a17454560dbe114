#include "kernels/pointwise/pointwise.h"

#include <algorithm>

#include "kernels/panel.h"
#include "kernels/quantized.h"

namespace lpn {
namespace {

template <class In, class Out>
const PanelVariant<PointwiseFn<In, Out>> kVariants[] = {
#define LPN_KERNEL(in, out, name, isa, panel) \
  {variant_of<PointwiseFn<In, Out>>(Isa::isa, #name, name), panel},
#include "kernels/pointwise/kernels.inc"
#undef LPN_KERNEL
};

// Panels depend on what is multiplied alone.
template <class In>
std::int64_t panel_of(Isa isa) {
  return select_pointwise<In, float>(isa).panel;
}

bool is_of_fours(Isa isa) {
  return multiplies_fours(select_pointwise<std::uint8_t, float>(isa).isa);
}

template <class Packed>
std::int64_t packed_size(std::int64_t panel, std::int64_t k, std::int64_t n) {
  const std::int64_t lone = has_lone_column(n) ? 1 : 0;
  return packed_panels_size<Packed>(panel, k, n - lone) + lone * grouped_terms<Packed>(k);
}

// Panels of the weights w (n, k), read as Weight, and the lone column after them.
template <class Weight, class Packed, class Stored>
void pack(std::int64_t panel, const Stored* w, std::int64_t k, std::int64_t n, Packed* packed) {
  const std::int64_t columns = has_lone_column(n) ? n - 1 : n;
  const auto weight = [w, k](std::int64_t t, std::int64_t o) -> Weight { return w[o * k + t]; };
  pack_panels(panel, k, columns, weight, packed);
  if (columns == n) return;
  const auto last = [weight, columns](std::int64_t t, std::int64_t) { return weight(t, columns); };
  pack_panels(1, k, 1, last, packed + packed_panels_size<Packed>(panel, k, columns));
}

}  // namespace

template <class In, class Out>
const PanelVariant<PointwiseFn<In, Out>>& select_pointwise(Isa isa) {
  return select_variant(kVariants<In, Out>, isa);
}

template <class In>
std::int64_t pointwise_packed_size(Isa isa, std::int64_t k, std::int64_t n) {
  return packed_size<In>(panel_of<In>(isa), k, n);
}
template <>
std::int64_t pointwise_packed_size<std::uint8_t>(Isa isa, std::int64_t k, std::int64_t n) {
  const std::int64_t panel = panel_of<std::uint8_t>(isa);
  if (is_of_fours(isa)) return packed_size<std::int8_t>(panel, k, n);
  return static_cast<std::int64_t>(sizeof(std::int16_t)) * packed_size<std::int16_t>(panel, k, n);
}

template <class In>
void pack_pointwise(Isa isa, const float* w, std::int64_t k, std::int64_t n, In* packed) {
  pack<float>(panel_of<In>(isa), w, k, n, packed);
}

void pack_pointwise_s8(Isa isa, const std::int8_t* w, std::int64_t k, std::int64_t n,
                       void* packed) {
  const std::int64_t panel = panel_of<std::uint8_t>(isa);
  if (is_of_fours(isa)) {
    pack<std::int8_t>(panel, w, k, n, static_cast<std::int8_t*>(packed));
  } else {
    pack<std::int16_t>(panel, w, k, n, static_cast<std::int16_t*>(packed));
  }
}

std::int64_t pointwise_scratch_size(Isa isa, std::int64_t m, std::int64_t k) {
  if (is_of_fours(isa)) return 0;
  return std::min(m, kWidenedRows) * widened_stride(k) *
         static_cast<std::int64_t>(sizeof(std::int16_t));
}

template const PanelVariant<PointwiseFn<float, float>>& select_pointwise<float, float>(Isa);
template const PanelVariant<PointwiseFn<Bfloat16, Bfloat16>>& select_pointwise<Bfloat16, Bfloat16>(
    Isa);
template const PanelVariant<PointwiseFn<Bfloat16, float>>& select_pointwise<Bfloat16, float>(Isa);
template const PanelVariant<PointwiseFn<std::uint8_t, std::uint8_t>>&
    select_pointwise<std::uint8_t, std::uint8_t>(Isa);
template const PanelVariant<PointwiseFn<std::uint8_t, float>>&
    select_pointwise<std::uint8_t, float>(Isa);
template std::int64_t pointwise_packed_size<float>(Isa, std::int64_t, std::int64_t);
template std::int64_t pointwise_packed_size<Bfloat16>(Isa, std::int64_t, std::int64_t);
template void pack_pointwise<float>(Isa, const float*, std::int64_t, std::int64_t, float*);
template void pack_pointwise<Bfloat16>(Isa, const float*, std::int64_t, std::int64_t, Bfloat16*);

}  // namespace lpn
