#include "kernels/depthwise/depthwise.h"

namespace lpn {
namespace {

const Variant<DepthwiseFn> kVariants[] = {
#define LPN_KERNEL(name, isa) {Isa::isa, #name, name},
#include "kernels/depthwise/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

const Variant<DepthwiseFn>& select_depthwise(Isa isa) { return select_variant(kVariants, isa); }

void pack_depthwise(const float* w, std::int64_t kh, std::int64_t kw, std::int64_t c,
                    float* packed) {
  const std::int64_t taps = kh * kw;
  for (std::int64_t tap = 0; tap < taps; ++tap) {
    for (std::int64_t channel = 0; channel < c; ++channel) *packed++ = w[channel * taps + tap];
  }
}

}  // namespace lpn
