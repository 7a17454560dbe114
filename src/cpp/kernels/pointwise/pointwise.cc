#include "kernels/pointwise/pointwise.h"

#include "kernels/panel.h"

namespace lpn {
namespace {

const Variant<PointwiseFn> kVariants[] = {
#define LPN_KERNEL(name, isa) {Isa::isa, #name, name},
#include "kernels/pointwise/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

const Variant<PointwiseFn>& select_pointwise(Isa isa) { return select_variant(kVariants, isa); }

std::int64_t pointwise_panel(Isa isa) { return gemm_panel(select_pointwise(isa).isa); }

std::int64_t pointwise_packed_size(Isa isa, std::int64_t k, std::int64_t n) {
  return packed_panels_size(pointwise_panel(isa), k, n);
}

void pack_pointwise(Isa isa, const float* w, std::int64_t k, std::int64_t n, float* packed) {
  pack_panels(
      pointwise_panel(isa), k, n, [&](std::int64_t t, std::int64_t o) { return w[o * k + t]; },
      packed);
}

}  // namespace lpn
