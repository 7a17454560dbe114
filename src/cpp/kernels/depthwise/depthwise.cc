#include "kernels/depthwise/depthwise.h"

#include "kernels/quad_weights.h"

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
template const Variant<DepthwiseFn<std::uint8_t>>& select_depthwise<std::uint8_t>(Isa isa);

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

namespace {

QuadLayout layout_of(Isa isa) { return quad_layout(select_depthwise<std::uint8_t>(isa).isa); }

}  // namespace

std::int64_t depthwise_packed_size_s8(Isa isa, std::int64_t kh, std::int64_t kw,
                                      std::int64_t stride, std::int64_t c) {
  const QuadLayout layout = layout_of(isa);
  const std::int64_t blocks = (c + layout.lanes - 1) / layout.lanes;
  return blocks * depthwise_quad_rows(kh, stride) * quads_of(kh) * kw * quad_weight_bytes(layout);
}

void pack_depthwise_s8(Isa isa, const std::int8_t* w, std::int64_t kh, std::int64_t kw,
                       std::int64_t stride, std::int64_t c, std::int8_t* packed) {
  const QuadLayout layout = layout_of(isa);
  const std::int64_t rows = depthwise_quad_rows(kh, stride);
  for (std::int64_t block = 0; block < c; block += layout.lanes) {
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t first = 0; first < quads_of(kh) * kQuadTerms; first += kQuadTerms) {
        for (std::int64_t j = 0; j < kw; ++j) {
          const auto weight = [&](std::int64_t t, std::int64_t lane) -> std::int8_t {
            const std::int64_t i = first + t - r * stride;
            const std::int64_t channel = block + lane;
            if (i < 0 || i >= kh || channel >= c) return 0;
            return w[(channel * kh + i) * kw + j];
          };
          packed = pack_quad(layout, weight, packed);
        }
      }
    }
  }
}

}  // namespace lpn
