#include "kernels/depthwise/depthwise.h"

namespace lpn {
namespace {

template <class T>
const Variant<DepthwiseFn<T>> kVariants[] = {
#define LPN_KERNEL(type, name, isa) variant_of<DepthwiseFn<T>>(Isa::isa, #name, name),
#include "kernels/depthwise/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

template <class T>
const Variant<DepthwiseFn<T>>& select_depthwise(Isa isa) {
  return select_variant(kVariants<T>, isa);
}
template const Variant<DepthwiseFn<float>>& select_depthwise<float>(Isa isa);
template const Variant<DepthwiseFn<Bfloat16>>& select_depthwise<Bfloat16>(Isa isa);

std::int64_t depthwise_packed_size(std::int64_t kh, std::int64_t kw, std::int64_t c) {
  return (c + kDepthwiseBlock - 1) / kDepthwiseBlock * kDepthwiseBlock * kh * kw;
}

template <class T>
void pack_depthwise(const float* w, std::int64_t kh, std::int64_t kw, std::int64_t c,
                    float* packed) {
  const std::int64_t taps = kh * kw;
  for (std::int64_t block = 0; block < c; block += kDepthwiseBlock) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t channel = block; channel < block + kDepthwiseBlock; ++channel)
        *packed++ = channel < c ? widen(narrow<T>(w[channel * taps + tap])) : 0.0f;
    }
  }
}
template void pack_depthwise<float>(const float*, std::int64_t, std::int64_t, std::int64_t, float*);
template void pack_depthwise<Bfloat16>(const float*, std::int64_t, std::int64_t, std::int64_t,
                                       float*);

}  // namespace lpn
