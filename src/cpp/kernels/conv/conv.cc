#include "kernels/conv/conv.h"

#include <algorithm>

#include "kernels/panel.h"

namespace lpn {
namespace {

const PanelVariant<ConvFn> kVariants[] = {
#define LPN_KERNEL(name, isa, panel) {{Isa::isa, #name, name}, panel},
#include "kernels/conv/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

const PanelVariant<ConvFn>& select_conv(Isa isa) { return select_variant(kVariants, isa); }

std::int64_t conv_scratch_size(std::int64_t rows, std::int64_t in_h, std::int64_t in_w,
                               std::int64_t in_c, std::int64_t kh, std::int64_t stride,
                               std::int64_t padding) {
  if (padding == 0) return 0;
  return std::min(in_h, (rows - 1) * stride + kh) * (in_w + 2 * padding) * in_c;
}

std::int64_t conv_packed_size(Isa isa, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
                              std::int64_t out_c) {
  return packed_panels_size(select_conv(isa).panel, kh * kw * in_c, out_c);
}

void pack_conv(Isa isa, const float* w, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
               std::int64_t out_c, float* packed) {
  const auto weight = [&](std::int64_t t, std::int64_t o) {
    const std::int64_t tap = t / in_c;
    const std::int64_t c = t % in_c;
    return w[(o * in_c + c) * kh * kw + tap];
  };
  pack_panels(select_conv(isa).panel, kh * kw * in_c, out_c, weight, packed);
}

}  // namespace lpn
