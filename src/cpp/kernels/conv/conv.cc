#include "kernels/conv/conv.h"

#include <algorithm>
#include <cstddef>
#include <limits>
#include <type_traits>

#include "kernels/conv/border_classes.h"
#include "kernels/conv/windows.h"
#include "kernels/panel.h"
#include "kernels/quantized.h"
#include "kernels/window-inl.h"

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

// Packs w (out_c, in_c, kh, kw), read as Weight, where a window's terms are `rows` rows that begin
// with a group of their own each.
template <class Weight, class Packed, class Stored>
void pack(std::int64_t panel, std::int64_t rows, const Stored* w, std::int64_t kh, std::int64_t kw,
          std::int64_t in_c, std::int64_t out_c, Packed* packed) {
  const std::int64_t row = kh * kw * in_c / rows;
  const std::int64_t grouped_row = grouped_terms<Packed>(row);
  const auto weight = [&](std::int64_t t, std::int64_t o) -> Weight {
    const std::int64_t in_row = t % grouped_row;
    if (in_row >= row) return Weight{};
    const std::int64_t term = t / grouped_row * row + in_row;
    return w[(o * in_c + term % in_c) * kh * kw + term / in_c];
  };
  pack_panels(panel, rows * grouped_row, out_c, weight, packed);
}

// How a convolution of bytes is packed on a tier, by the type that bytes are multiplied as.
struct ByteLayout {
  std::int64_t panel;
  bool fours;

  explicit ByteLayout(Isa isa) {
    const PanelVariant<ConvFn<std::uint8_t, std::uint8_t>>& variant =
        select_conv<std::uint8_t, std::uint8_t>(isa);
    panel = variant.panel;
    fours = multiplies_fours(variant.isa);
  }
  template <class Body>
  auto with_term(const Body& body) const {
    return fours ? body(std::uint8_t()) : body(std::int16_t());
  }
};

template <class Term>
std::int64_t rows_of_terms(std::int64_t kh, std::int64_t kw, std::int64_t in_c) {
  return gathers_windows<Term>(kh, kw * in_c) ? 1 : kh;
}

template <class T>
constexpr std::int64_t bytes_of(std::int64_t count) {
  return count * static_cast<std::int64_t>(sizeof(T));
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
  pack<float>(panel_of<Out>(isa), kh, w, kh, kw, in_c, out_c, packed);
}

std::int64_t conv_packed_size_s8(Isa isa, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
                                 std::int64_t out_c) {
  const ByteLayout layout(isa);
  return layout.with_term([&](auto term) {
    using Term = decltype(term);
    const std::int64_t rows = rows_of_terms<Term>(kh, kw, in_c);
    const std::int64_t terms = rows * grouped_terms<Term>(kh * kw * in_c / rows);
    return bytes_of<Term>(packed_panels_size<Term>(layout.panel, terms, out_c));
  });
}

void pack_conv_s8(Isa isa, const std::int8_t* w, std::int64_t kh, std::int64_t kw,
                  std::int64_t in_c, std::int64_t out_c, void* packed) {
  const ByteLayout layout(isa);
  layout.with_term([&](auto term) {
    using Term = decltype(term);
    using Weight = std::make_signed_t<Term>;
    pack<Weight>(layout.panel, rows_of_terms<Term>(kh, kw, in_c), w, kh, kw, in_c, out_c,
                 static_cast<Weight*>(packed));
  });
}

std::int64_t conv_scratch_size_u8(Isa isa, std::int64_t rows, std::int64_t in_w, std::int64_t in_c,
                                  std::int64_t kh, std::int64_t kw, std::int64_t stride,
                                  std::int64_t padding) {
  return ByteLayout(isa).with_term([&](auto term) {
    using Term = decltype(term);
    const std::int64_t width = in_w + 2 * padding;
    const std::int64_t pixels = (width - kw) / stride + 1;
    const bool gathers = gathers_windows<Term>(kh, kw * in_c);
    const std::int64_t windows =
        gathers ? pixels * grouped_terms<Term>(kh * kw * in_c) + kScratchSlack : 0;
    const std::int64_t covered = covered_rows(rows, kh, stride) * width * in_c;
    return bytes_of<Term>(covered + kScratchSlack + windows);
  });
}

BorderClasses conv_border_classes(std::int64_t extent, std::int64_t kernel, std::int64_t stride,
                                  std::int64_t padding) {
  BorderClasses classes;
  const std::int64_t windows = (extent + 2 * padding - kernel) / stride + 1;
  for (std::int64_t window = 0; window < windows; ++window) {
    const WindowTaps inside = taps_inside(window, kernel, stride, padding, extent);
    const auto same = [&](const BorderClasses::Taps& taps) {
      return taps.begin == inside.tap && taps.end == inside.tap + inside.count;
    };
    const auto found = std::find_if(classes.taps.begin(), classes.taps.end(), same);
    const std::ptrdiff_t index = found - classes.taps.begin();
    if (index > std::numeric_limits<std::uint8_t>::max()) return {};
    if (found == classes.taps.end())
      classes.taps.push_back({inside.tap, inside.tap + inside.count});
    classes.of_window.push_back(static_cast<std::uint8_t>(index));
  }
  return classes;
}

template const PanelVariant<ConvFn<float, float>>& select_conv<float, float>(Isa);
template const PanelVariant<ConvFn<Bfloat16, Bfloat16>>& select_conv<Bfloat16, Bfloat16>(Isa);
template const PanelVariant<ConvFn<float, Bfloat16>>& select_conv<float, Bfloat16>(Isa);
template const PanelVariant<ConvFn<std::uint8_t, std::uint8_t>>&
    select_conv<std::uint8_t, std::uint8_t>(Isa);
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
