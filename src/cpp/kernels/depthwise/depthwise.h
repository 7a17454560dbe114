// Depthwise k x k convolution over NHWC maps, by output rows.
#pragma once

#include <cstdint>

#include "base/bfloat16.h"
#include "kernels/activation.h"
#include "kernels/variants.h"

namespace lpn {

// Channels whose weights lie side by side: of one cache line, which vectors of every tier divide.
constexpr int kDepthwiseBlock = 16;

// Calls are best for a multiple of so many output rows: most tiles are of two or four, which share
// the input they overlap in.
constexpr int kDepthwiseRows = 2;

// out[y, x, c] = act(bias[c] + sum_{i, j} in[y * stride + i - padding, x * stride + j - padding, c]
// * w[i, j, c]) for output rows [row_begin, row_end); taps outside the map are skipped. One chain
// of fma per output, starting from the bias, in ascending (i, j). T is float or Bfloat16.
template <class T>
struct DepthwiseArgs {
  const T* in;  // image row `in_row_begin` of an (in_h, in_w, c) map
  std::int64_t in_row_begin;
  std::int64_t in_h, in_w, c;
  const float* w;     // from pack_depthwise<T>
  const float* bias;  // c floats, or null
  T* out;             // output row `row_begin` of an (out_h, out_w, c) map
  std::int64_t out_w;
  std::int64_t row_begin, row_end;
  std::int64_t kh, kw, stride, padding;
  Activation activation;
};

// Of bytes q, which stand for scale (q - zero point): out = clamp(round(fma(sum, multiplier[c],
// bias[c]))) for the exact sum over all taps of in * w, where taps outside the map read
// `padding_value`. Half rounds to even; less than 2^31 before, so that clamping the integer is
// clamping the float.
template <>
struct DepthwiseArgs<std::uint8_t> {
  const std::uint8_t* in;  // image row `in_row_begin` of an (in_h, in_w, c) map
  std::int64_t in_row_begin;
  std::int64_t in_h, in_w, c;
  const std::int8_t* w;     // from pack_depthwise_s8 for the same tier and stride
  const float* multiplier;  // c floats
  const float* bias;        // c floats
  std::uint8_t* out;        // output row `row_begin` of an (out_h, out_w, c) map
  std::int64_t out_w;
  std::int64_t row_begin, row_end;
  std::int64_t kh, kw, stride, padding;
  std::uint8_t padding_value;
  std::uint8_t least, most;  // what `out` is clamped to
};

template <class T>
using DepthwiseFn = void (*)(const DepthwiseArgs<T>& args);

#define LPN_KERNEL(type, name, isa) void name(const DepthwiseArgs<type>& args);
#include "kernels/depthwise/kernels.inc"
#undef LPN_KERNEL

template <class T>
const Variant<DepthwiseFn<T>>& select_depthwise(Isa isa);

// Floats of packed weights: those of the last block are filled up with zeros.
std::int64_t depthwise_packed_size(std::int64_t kh, std::int64_t kw, std::int64_t c);

// Packs w (c, 1, kh, kw), PyTorch's layout, into [block of channels][kh][kw][kDepthwiseBlock], each
// as the nearest number of type T.
template <class T>
void pack_depthwise(const float* w, std::int64_t kh, std::int64_t kw, std::int64_t c,
                    float* packed);

// Output rows that share the four rows of input of a quad (kernels/quads.h), two at most. (Static,
// so that no ISA file exports a copy.)
static constexpr std::int64_t depthwise_quad_rows(std::int64_t kh, std::int64_t stride) {
  return (kh + 3) / 4 * 4 - kh >= stride ? 2 : 1;
}

// Bytes of packed weights for maps of bytes.
std::int64_t depthwise_packed_size_s8(Isa isa, std::int64_t kh, std::int64_t kw,
                                      std::int64_t stride, std::int64_t c);

// Packs w (c, 1, kh, kw) as quads of four rows, [block of channels][row of outputs that share
// them][ceil(kh / 4)][kw], each with the kernel's taps as many strides further down as rows.
void pack_depthwise_s8(Isa isa, const std::int8_t* w, std::int64_t kh, std::int64_t kw,
                       std::int64_t stride, std::int64_t c, std::int8_t* packed);

}  // namespace lpn
