#include "kernels/group_deconv/group_deconv.h"

#include <algorithm>
#include <type_traits>

#include "kernels/panel.h"
#include "kernels/quad_weights.h"

namespace lpn {
namespace {

template <class T>
const PanelVariant<GroupDeconvFn<T>> kVariants[] = {
#define LPN_KERNEL(type, name, isa, panel) \
  {variant_of<GroupDeconvFn<T>>(Isa::isa, #name, name), panel},
#include "kernels/group_deconv/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

template <class T>
const PanelVariant<GroupDeconvFn<T>>& select_group_deconv(Isa isa) {
  return select_variant(kVariants<T>, isa);
}

// For rows in the order of groups, or widened to floats.
template <class T>
std::int64_t group_deconv_scratch_size(std::int64_t rows, std::int64_t in_h, std::int64_t in_w,
                                       std::int64_t in_c, std::int64_t groups, std::int64_t kh,
                                       std::int64_t stride) {
  if (in_c == groups && !std::is_same_v<T, Bfloat16>) return 0;
  // Output row y reads the multiples of the stride in [y + padding - kh + 1, y + padding].
  const std::int64_t in_rows = (rows + kh - 2) / stride + 1;
  return std::min(in_h, in_rows) * in_w * in_c;
}

template <class T>
std::int64_t group_deconv_packed_size(Isa isa, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
                                      std::int64_t out_c, std::int64_t groups) {
  if (out_c == groups) return kh * kw * in_c;
  return groups * packed_panels_size<float>(select_group_deconv<T>(isa).panel,
                                            kh * kw * (in_c / groups), out_c / groups);
}

// One output per group: [kh][kw][in_c / groups][groups]. Otherwise each group's panels:
// [groups][ceil(outputs / panel)] [kh][kw][in_c / groups][panel].
template <class T>
void pack_group_deconv(Isa isa, const float* w, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
                       std::int64_t out_c, std::int64_t groups, float* packed) {
  const std::int64_t taps = kh * kw;
  const std::int64_t group_inputs = in_c / groups;
  const std::int64_t group_outputs = out_c / groups;
  if (group_outputs == 1) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t c = 0; c < group_inputs; ++c) {
        for (std::int64_t g = 0; g < groups; ++g)
          *packed++ = widen(narrow<T>(w[(g * group_inputs + c) * taps + tap]));
      }
    }
    return;
  }
  const std::int64_t panel = select_group_deconv<T>(isa).panel;
  const std::int64_t group_size =
      packed_panels_size<float>(panel, taps * group_inputs, group_outputs);
  for (std::int64_t g = 0; g < groups; ++g) {
    const auto weight = [&](std::int64_t t, std::int64_t o) {
      const std::int64_t tap = t / group_inputs;
      const std::int64_t c = g * group_inputs + t % group_inputs;
      return widen(narrow<T>(w[(c * group_outputs + o) * taps + tap]));
    };
    pack_panels(panel, taps * group_inputs, group_outputs, weight, packed + g * group_size);
  }
}

namespace {

// How the weights of bytes are packed.
struct ByteWeights {
  QuadLayout layout;
  std::int64_t panel;  // outputs of one, where lanes are outputs
  bool in_quads;       // group_deconv_in_quads
  std::int64_t quads;  // of an output's terms, or of a tap's channels
};

ByteWeights byte_weights(Isa isa, std::int64_t kh, std::int64_t kw, std::int64_t stride,
                         std::int64_t in_c, std::int64_t out_c, std::int64_t groups) {
  const PanelVariant<GroupDeconvFn<std::uint8_t>>& variant = select_group_deconv<std::uint8_t>(isa);
  const std::int64_t inputs = in_c / groups;
  const bool in_quads = group_deconv_in_quads(kh, kw, stride, inputs, out_c / groups);
  const std::int64_t terms = in_quads ? group_deconv_terms(kh, kw, stride, inputs) : inputs;
  return {quad_layout(variant.isa), variant.panel, in_quads, quads_of(terms)};
}

std::int64_t ceil_div(std::int64_t a, std::int64_t b) { return (a + b - 1) / b; }

}  // namespace

std::int64_t group_deconv_packed_size_s8(Isa isa, std::int64_t kh, std::int64_t kw,
                                         std::int64_t stride, std::int64_t in_c, std::int64_t out_c,
                                         std::int64_t groups) {
  const ByteWeights weights = byte_weights(isa, kh, kw, stride, in_c, out_c, groups);
  const std::int64_t quad = weights.quads * quad_weight_bytes(weights.layout);
  if (weights.in_quads) return ceil_div(groups, weights.layout.lanes) * stride * stride * quad;
  const std::int64_t panels = ceil_div(out_c / groups, weights.panel);
  return groups * panels * kh * kw * weights.quads * quad_vector_bytes(weights.layout) *
         (weights.panel / quad_vector_lanes(weights.layout));
}

// One output per group: quads of terms, [block of groups][row of phases][column of phases][quad],
// of the terms [row of input][column of input][channel of the group] from the nearest pixel on.
// Otherwise vectors of outputs: [group][panel][kh][kw][quad of channels][vector of the panel].
void pack_group_deconv_s8(Isa isa, const std::int8_t* w, std::int64_t kh, std::int64_t kw,
                          std::int64_t stride, std::int64_t in_c, std::int64_t out_c,
                          std::int64_t groups, std::int8_t* packed) {
  const ByteWeights weights = byte_weights(isa, kh, kw, stride, in_c, out_c, groups);
  const std::int64_t inputs = in_c / groups;
  const std::int64_t outputs = out_c / groups;
  const auto factor = [&](std::int64_t g, std::int64_t c, std::int64_t o, std::int64_t i,
                          std::int64_t j) {
    return w[(((g * inputs + c) * outputs + o) * kh + i) * kw + j];
  };
  if (weights.in_quads) {
    const std::int64_t columns = ceil_div(kw, stride);
    for (std::int64_t block = 0; block < groups; block += weights.layout.lanes) {
      for (std::int64_t phase = 0; phase < stride * stride; ++phase) {
        for (std::int64_t first = 0; first < weights.quads * kQuadTerms; first += kQuadTerms) {
          const auto weight = [&](std::int64_t t, std::int64_t lane) -> std::int8_t {
            const std::int64_t pixel = (first + t) / inputs;
            const std::int64_t i = phase / stride + pixel / columns * stride;
            const std::int64_t j = phase % stride + pixel % columns * stride;
            if (block + lane >= groups || i >= kh || j >= kw) return 0;
            return factor(block + lane, (first + t) % inputs, 0, i, j);
          };
          packed = pack_quad(weights.layout, weight, packed);
        }
      }
    }
    return;
  }
  const std::int64_t lanes = quad_vector_lanes(weights.layout);
  for (std::int64_t g = 0; g < groups; ++g) {
    for (std::int64_t panel = 0; panel < outputs; panel += weights.panel) {
      for (std::int64_t tap = 0; tap < kh * kw; ++tap) {
        for (std::int64_t first = 0; first < weights.quads * kQuadTerms; first += kQuadTerms) {
          for (std::int64_t column = 0; column < weights.panel; column += lanes) {
            const auto weight = [&](std::int64_t t, std::int64_t lane) -> std::int8_t {
              const std::int64_t o = panel + column + lane;
              if (o >= outputs || first + t >= inputs) return 0;
              return factor(g, first + t, o, tap / kw, tap % kw);
            };
            packed = pack_quad_vector(weights.layout, weight, packed);
          }
        }
      }
    }
  }
}

template const PanelVariant<GroupDeconvFn<std::uint8_t>>& select_group_deconv<std::uint8_t>(Isa);
template std::int64_t group_deconv_scratch_size<std::uint8_t>(std::int64_t, std::int64_t,
                                                              std::int64_t, std::int64_t,
                                                              std::int64_t, std::int64_t,
                                                              std::int64_t);
template const PanelVariant<GroupDeconvFn<float>>& select_group_deconv<float>(Isa);
template const PanelVariant<GroupDeconvFn<Bfloat16>>& select_group_deconv<Bfloat16>(Isa);
template std::int64_t group_deconv_scratch_size<float>(std::int64_t, std::int64_t, std::int64_t,
                                                       std::int64_t, std::int64_t, std::int64_t,
                                                       std::int64_t);
template std::int64_t group_deconv_packed_size<float>(Isa, std::int64_t, std::int64_t, std::int64_t,
                                                      std::int64_t, std::int64_t);
template void pack_group_deconv<float>(Isa, const float*, std::int64_t, std::int64_t, std::int64_t,
                                       std::int64_t, std::int64_t, float*);
template std::int64_t group_deconv_scratch_size<Bfloat16>(std::int64_t, std::int64_t, std::int64_t,
                                                          std::int64_t, std::int64_t, std::int64_t,
                                                          std::int64_t);
template std::int64_t group_deconv_packed_size<Bfloat16>(Isa, std::int64_t, std::int64_t,
                                                         std::int64_t, std::int64_t, std::int64_t);
template void pack_group_deconv<Bfloat16>(Isa, const float*, std::int64_t, std::int64_t,
                                          std::int64_t, std::int64_t, std::int64_t, float*);

}  // namespace lpn
