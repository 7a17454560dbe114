// Grouped transposed convolution over NHWC maps, by output rows.
#pragma once

#include <cstdint>

#include "base/bfloat16.h"
#include "kernels/activation.h"
#include "kernels/variants.h"

namespace lpn {

// out[y, x, g, o] = act(bias[g, o] + sum_{i, j, c} in[u, v, g, c] * w[g, c, o, i, j]) over the taps
// with y = u * stride - padding + i and x = v * stride - padding + j, for output rows [row_begin,
// row_end). out_h = (in_h - 1) * stride - 2 * padding + kh, out_w likewise. Ascending (i, j, c):
// one chain of fma per output. T is float or Bfloat16.
template <class T>
struct GroupDeconvArgs {
  const T* in;  // image row `in_row_begin` of an (in_h, in_w, in_c) map
  std::int64_t in_row_begin;
  std::int64_t in_h, in_w, in_c;
  const float* packed_w;  // from pack_group_deconv<T> for the same tier
  const float* bias;      // out_c floats, or null
  T* out;                 // output row `row_begin` of an (out_h, out_w, out_c) map
  std::int64_t out_w, out_c;
  std::int64_t row_begin, row_end;
  std::int64_t groups;  // divides in_c and out_c
  std::int64_t kh, kw, stride, padding;
  Activation activation;
  float* scratch;  // group_deconv_scratch_size floats, one per thread
};

// Of bytes: out = clamp(round(fma(sum, multiplier[g, o], bias[g, o]))) for the exact sum, as in a
// depthwise convolution of bytes. Taps outside the map add nothing, which a byte of 0 stands for.
template <>
struct GroupDeconvArgs<std::uint8_t> {
  const std::uint8_t* in;  // image row `in_row_begin` of an (in_h, in_w, in_c) map
  std::int64_t in_row_begin;
  std::int64_t in_h, in_w, in_c;
  const std::int8_t* packed_w;  // from pack_group_deconv_s8 for the same tier
  const float* multiplier;      // out_c floats
  const float* bias;            // out_c floats
  std::uint8_t* out;            // output row `row_begin` of an (out_h, out_w, out_c) map
  std::int64_t out_w, out_c;
  std::int64_t row_begin, row_end;
  std::int64_t groups;  // divides in_c and out_c
  std::int64_t kh, kw, stride, padding;
  std::uint8_t least, most;  // what `out` is clamped to
  std::uint8_t* scratch;     // group_deconv_scratch_size bytes, one per thread
};

template <class T>
using GroupDeconvFn = void (*)(const GroupDeconvArgs<T>& args);

#define LPN_KERNEL(type, name, isa, panel)     \
  constexpr std::int64_t name##_panel = panel; \
  void name(const GroupDeconvArgs<type>& args);
#include "kernels/group_deconv/kernels.inc"
#undef LPN_KERNEL

template <class T>
const PanelVariant<GroupDeconvFn<T>>& select_group_deconv(Isa isa);

// Floats of scratch, or bytes for maps of bytes, for a call over at most `rows` output rows.
template <class T>
std::int64_t group_deconv_scratch_size(std::int64_t rows, std::int64_t in_h, std::int64_t in_w,
                                       std::int64_t in_c, std::int64_t groups, std::int64_t kh,
                                       std::int64_t stride);

// Packs w (in_c, out_c / groups, kh, kw), PyTorch's layout, into the kernel's own, each as the
// nearest number of type T.
template <class T>
std::int64_t group_deconv_packed_size(Isa isa, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
                                      std::int64_t out_c, std::int64_t groups);
template <class T>
void pack_group_deconv(Isa isa, const float* w, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
                       std::int64_t out_c, std::int64_t groups, float* packed);

// Terms of one output where each group has one: input pixels that a tap may hit, and their
// channels. (Static, so that no ISA file exports a copy.)
static constexpr std::int64_t group_deconv_terms(std::int64_t kh, std::int64_t kw,
                                                 std::int64_t stride, std::int64_t group_inputs) {
  return ((kh + stride - 1) / stride) * ((kw + stride - 1) / stride) * group_inputs;
}

// Whether a map of bytes is taken by quads of these terms, a vector's lanes being groups: where
// they are few and each phase has some. Otherwise lanes are a group's outputs.
constexpr std::int64_t kMostGroupTerms = 64;
static constexpr bool group_deconv_in_quads(std::int64_t kh, std::int64_t kw, std::int64_t stride,
                                            std::int64_t group_inputs, std::int64_t group_outputs) {
  return group_outputs == 1 && stride <= kh && stride <= kw &&
         group_deconv_terms(kh, kw, stride, group_inputs) <= kMostGroupTerms;
}

// Bytes of packed weights for maps of bytes, and packing them: w as for floats.
std::int64_t group_deconv_packed_size_s8(Isa isa, std::int64_t kh, std::int64_t kw,
                                         std::int64_t stride, std::int64_t in_c, std::int64_t out_c,
                                         std::int64_t groups);
void pack_group_deconv_s8(Isa isa, const std::int8_t* w, std::int64_t kh, std::int64_t kw,
                          std::int64_t stride, std::int64_t in_c, std::int64_t out_c,
                          std::int64_t groups, std::int8_t* packed);

}  // namespace lpn
