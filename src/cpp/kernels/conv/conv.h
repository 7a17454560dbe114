// Dense k x k convolution over NHWC maps, by output rows.
#pragma once

#include <cstdint>

#include "base/bfloat16.h"
#include "kernels/activation.h"
#include "kernels/variants.h"

namespace lpn {

// out[y, x, o] = act(bias[o] + sum_{i, j, c} in[y * stride + i - padding, x * stride + j - padding,
// c] * w[i, j, c, o]) for output rows [row_begin, row_end); taps outside the map are skipped or
// multiply a zero. Ascending (i, j, c). What is multiplied is of type Out: a float32 map is rounded
// for a bfloat16 one; of bfloat16, products are added in pairs of a row's terms (j, c), the second
// first, and subnormal numbers are zero.
template <class In, class Out>
struct ConvArgs {
  const In* in;               // image row `in_row_begin` of an (in_h, in_w, in_c) map
  std::int64_t in_row_begin;  // 0 unless `in` is a tile of the map that holds just the rows these
                              // output rows need
  std::int64_t in_h, in_w, in_c;
  const Out* packed_w;  // from pack_conv for the same tier
  const float* bias;    // out_c floats, or null
  const Out* residual;  // output row `row_begin`, as out, or null
  std::int64_t ld_residual;
  Out* out;  // output row `row_begin` of an (out_h, out_w, out_c) map, pixels ld_out elements apart
  std::int64_t ld_out;
  std::int64_t out_w, out_c;
  std::int64_t row_begin, row_end;
  std::int64_t kh, kw, stride, padding;
  Activation activation;
  Out* scratch;  // conv_scratch_size elements, one per thread
};

template <class In, class Out>
using ConvFn = void (*)(const ConvArgs<In, Out>& args);

#define LPN_KERNEL(in, out, name, isa, panel)  \
  constexpr std::int64_t name##_panel = panel; \
  void name(const ConvArgs<in, out>& args);
#include "kernels/conv/kernels.inc"
#undef LPN_KERNEL

// For <float, float>, <Bfloat16, Bfloat16> and <float, Bfloat16>.
template <class In, class Out>
const PanelVariant<ConvFn<In, Out>>& select_conv(Isa isa);

// Elements of scratch for a call over at most `rows` output rows: the rows of the map that they
// read, with their padding, where they are not read where they lie.
template <class In, class Out>
std::int64_t conv_scratch_size(std::int64_t rows, std::int64_t in_h, std::int64_t in_w,
                               std::int64_t in_c, std::int64_t kh, std::int64_t stride,
                               std::int64_t padding);

// Packs w (out_c, in_c, kh, kw), PyTorch's layout, rounded to Out, into panels (kernels/panel.h) of
// the variant's width; the kw * in_c terms of a row begin with a group of their own.
template <class Out>
std::int64_t conv_packed_size(Isa isa, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
                              std::int64_t out_c);
template <class Out>
void pack_conv(Isa isa, const float* w, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
               std::int64_t out_c, Out* packed);

}  // namespace lpn
