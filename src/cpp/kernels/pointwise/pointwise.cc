#include "kernels/pointwise/pointwise.h"

#include "kernels/panel.h"

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

}  // namespace

template <class In, class Out>
const PanelVariant<PointwiseFn<In, Out>>& select_pointwise(Isa isa) {
  return select_variant(kVariants<In, Out>, isa);
}

template <class In>
std::int64_t pointwise_packed_size(Isa isa, std::int64_t k, std::int64_t n) {
  const std::int64_t lone = has_lone_column(n) ? 1 : 0;
  return packed_panels_size<In>(panel_of<In>(isa), k, n - lone) + lone * grouped_terms<In>(k);
}

template <class In>
void pack_pointwise(Isa isa, const float* w, std::int64_t k, std::int64_t n, In* packed) {
  const std::int64_t panel = panel_of<In>(isa);
  const std::int64_t columns = has_lone_column(n) ? n - 1 : n;
  const auto weight = [w, k](std::int64_t t, std::int64_t o) { return w[o * k + t]; };
  pack_panels(panel, k, columns, weight, packed);
  if (columns == n) return;
  const auto last = [w, k, columns](std::int64_t t, std::int64_t) { return w[columns * k + t]; };
  pack_panels(1, k, 1, last, packed + packed_panels_size<In>(panel, k, columns));
}

template const PanelVariant<PointwiseFn<float, float>>& select_pointwise<float, float>(Isa);
template const PanelVariant<PointwiseFn<Bfloat16, Bfloat16>>& select_pointwise<Bfloat16, Bfloat16>(
    Isa);
template const PanelVariant<PointwiseFn<Bfloat16, float>>& select_pointwise<Bfloat16, float>(Isa);
template std::int64_t pointwise_packed_size<float>(Isa, std::int64_t, std::int64_t);
template std::int64_t pointwise_packed_size<Bfloat16>(Isa, std::int64_t, std::int64_t);
template void pack_pointwise<float>(Isa, const float*, std::int64_t, std::int64_t, float*);
template void pack_pointwise<Bfloat16>(Isa, const float*, std::int64_t, std::int64_t, Bfloat16*);

}  // namespace lpn
