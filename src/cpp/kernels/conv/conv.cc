#include "kernels/conv/conv.h"

#include <algorithm>
#include <type_traits>

#include "kernels/panel.h"

namespace lpn {
namespace {

template <class In, class Out>
const PanelVariant<ConvFn<In, Out>> kVariants[] = {
#define LPN_KERNEL(in, out, name, isa, panel) \
  {variant_of<ConvFn<In, Out>>(Isa::isa, #name, name), panel},
#include "kernels/conv/kernels.inc"
#undef LPN_KERNEL
};

// Panels depend on what is multiplied alone.
template <class Out>
std::int64_t panel_of(Isa isa) {
  return select_conv<float, Out>(isa).panel;
}

}  // namespace

template <class In, class Out>
const PanelVariant<ConvFn<In, Out>>& select_conv(Isa isa) {
  return select_variant(kVariants<In, Out>, isa);
}

template <class In, class Out>
std::int64_t conv_scratch_size(std::int64_t rows, std::int64_t in_h, std::int64_t in_w,
                               std::int64_t in_c, std::int64_t kh, std::int64_t stride,
                               std::int64_t padding) {
  if (padding == 0 && std::is_same_v<In, Out>) return 0;
  return std::min(in_h, (rows - 1) * stride + kh) * (in_w + 2 * padding) * in_c;
}

template <class Out>
std::int64_t conv_packed_size(Isa isa, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
                              std::int64_t out_c) {
  return packed_panels_size<Out>(panel_of<Out>(isa), kh * grouped_terms<Out>(kw * in_c), out_c);
}

template <class Out>
void pack_conv(Isa isa, const float* w, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
               std::int64_t out_c, Out* packed) {
  const std::int64_t row = kw * in_c;
  const std::int64_t grouped_row = grouped_terms<Out>(row);
  const auto weight = [&](std::int64_t t, std::int64_t o) {
    const std::int64_t i = t / grouped_row;
    const std::int64_t in_row = t % grouped_row;
    if (in_row >= row) return 0.0f;
    const std::int64_t tap = i * kw + in_row / in_c;
    return w[(o * in_c + in_row % in_c) * kh * kw + tap];
  };
  pack_panels(panel_of<Out>(isa), kh * grouped_row, out_c, weight, packed);
}

template const PanelVariant<ConvFn<float, float>>& select_conv<float, float>(Isa);
template const PanelVariant<ConvFn<Bfloat16, Bfloat16>>& select_conv<Bfloat16, Bfloat16>(Isa);
template const PanelVariant<ConvFn<float, Bfloat16>>& select_conv<float, Bfloat16>(Isa);
template std::int64_t conv_scratch_size<float, float>(std::int64_t, std::int64_t, std::int64_t,
                                                      std::int64_t, std::int64_t, std::int64_t,
                                                      std::int64_t);
template std::int64_t conv_scratch_size<Bfloat16, Bfloat16>(std::int64_t, std::int64_t,
                                                            std::int64_t, std::int64_t,
                                                            std::int64_t, std::int64_t,
                                                            std::int64_t);
template std::int64_t conv_scratch_size<float, Bfloat16>(std::int64_t, std::int64_t, std::int64_t,
                                                         std::int64_t, std::int64_t, std::int64_t,
                                                         std::int64_t);
template std::int64_t conv_packed_size<float>(Isa, std::int64_t, std::int64_t, std::int64_t,
                                              std::int64_t);
template std::int64_t conv_packed_size<Bfloat16>(Isa, std::int64_t, std::int64_t, std::int64_t,
                                                 std::int64_t);
template void pack_conv<float>(Isa, const float*, std::int64_t, std::int64_t, std::int64_t,
                               std::int64_t, float*);
template void pack_conv<Bfloat16>(Isa, const float*, std::int64_t, std::int64_t, std::int64_t,
                                  std::int64_t, Bfloat16*);

}  // namespace lpn
