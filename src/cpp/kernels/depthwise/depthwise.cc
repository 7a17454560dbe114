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

std::int64_t depthwise_packed_size(std::int64_t kh, std::int64_t kw, std::int64_t c) {
  return (c + kDepthwiseBlock - 1) / kDepthwiseBlock * kDepthwiseBlock * kh * kw;
}

void pack_depthwise(const float* w, std::int64_t kh, std::int64_t kw, std::int64_t c,
                    float* packed) {
  const std::int64_t taps = kh * kw;
  for (std::int64_t block = 0; block < c; block += kDepthwiseBlock) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t channel = block; channel < block + kDepthwiseBlock; ++channel)
        *packed++ = channel < c ? w[channel * taps + tap] : 0.0f;
    }
  }
}

}  // namespace lpn
