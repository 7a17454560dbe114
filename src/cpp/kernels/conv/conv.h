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

// Of bytes, quantized maps as those of pointwise (kernels/pointwise/pointwise.h): the sum is exact,
// over all taps of a window, of which those outside the map read `padding_value`. Since a padding
// of 0 may lie between two bytes, or be another number in each channel, the bias may depend on
// which taps are inside (conv_border_classes): then it is [row class][column class][out_c]. Clamped
// to [least, most] and rounded to nearest, ties to even,
//   v = fma(sum, multiplier[o], bias[o]);  v = fma(residual, residual_scale, v)
template <>
struct ConvArgs<std::uint8_t, std::uint8_t> {
  const std::uint8_t* in;  // image row `in_row_begin` of an (in_h, in_w, in_c) map
  std::int64_t in_row_begin;
  std::int64_t in_h, in_w, in_c;
  const void* packed_w;              // from pack_conv_s8 for the same tier
  const float* multiplier;           // out_c floats
  const float* bias;                 // out_c floats of each class
  const std::uint8_t* row_class;     // of each row of the result, or null: one class
  const std::uint8_t* column_class;  // of each of its columns, or null
  std::int64_t column_classes;       // how many; 1 where column_class is null
  const std::uint8_t* residual;      // output row `row_begin`, as out, or null
  std::int64_t ld_residual;
  float residual_scale;
  std::uint8_t* out;  // output row `row_begin` of an (out_h, out_w, out_c) map
  std::int64_t ld_out;
  std::int64_t out_w, out_c;
  std::int64_t row_begin, row_end;
  std::int64_t kh, kw, stride, padding;
  std::uint8_t padding_value;
  float least, most;  // integers in 0..255; a NaN becomes `least`
  void* scratch;      // conv_scratch_size_u8 bytes, one per thread, aligned for int16
};

template <class In, class Out>
using ConvFn = void (*)(const ConvArgs<In, Out>& args);

#define LPN_KERNEL(in, out, name, isa, panel)  \
  constexpr std::int64_t name##_panel = panel; \
  void name(const ConvArgs<in, out>& args);
#include "kernels/conv/kernels.inc"
#undef LPN_KERNEL

// For <float, float>, <Bfloat16, Bfloat16>, <float, Bfloat16> and <uint8_t, uint8_t>.
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

// The same for bytes, in bytes: fours of weights, or pairs widened to 16 bits where no instruction
// takes four; the terms of a window are one row where that saves many (conv/windows.h). `packed` is
// aligned for int16.
std::int64_t conv_packed_size_s8(Isa isa, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
                                 std::int64_t out_c);
void pack_conv_s8(Isa isa, const std::int8_t* w, std::int64_t kh, std::int64_t kw,
                  std::int64_t in_c, std::int64_t out_c, void* packed);

// Bytes of scratch for a call of bytes over at most `rows` output rows.
std::int64_t conv_scratch_size_u8(Isa isa, std::int64_t rows, std::int64_t in_w, std::int64_t in_c,
                                  std::int64_t kh, std::int64_t kw, std::int64_t stride,
                                  std::int64_t padding);

}  // namespace lpn
