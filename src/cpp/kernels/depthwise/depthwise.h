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

}  // namespace lpn
