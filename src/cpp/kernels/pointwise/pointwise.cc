#include "kernels/pointwise/pointwise.h"

#include <algorithm>

#include "kernels/panel.h"

namespace lpn {
namespace {

const PanelVariant<PointwiseFn> kVariants[] = {
#define LPN_KERNEL(name, isa, panel) {{Isa::isa, #name, name}, panel},
#include "kernels/pointwise/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

const PanelVariant<PointwiseFn>& select_pointwise(Isa isa) {
  return select_variant(kVariants, isa);
}

std::int64_t pointwise_packed_size(Isa isa, std::int64_t k, std::int64_t n) {
  const std::int64_t lone = has_lone_column(n) ? 1 : 0;
  return packed_panels_size(select_pointwise(isa).panel, k, n - lone) + lone * k;
}

void pack_pointwise(Isa isa, const float* w, std::int64_t k, std::int64_t n, float* packed) {
  const std::int64_t panel = select_pointwise(isa).panel;
  const std::int64_t lone = has_lone_column(n) ? 1 : 0;
  pack_panels(
      panel, k, n - lone, [&](std::int64_t t, std::int64_t o) { return w[o * k + t]; }, packed);
  std::copy_n(w + (n - lone) * k, lone * k, packed + packed_panels_size(panel, k, n - lone));
}

}  // namespace lpn
