// Max pooling over NHWC maps, by output rows.
#pragma once

#include <cstdint>

#include "base/bfloat16.h"
#include "kernels/variants.h"

namespace lpn {

// out[y, x, c] = max_{i, j} in[y * stride + i - padding, x * stride + j - padding, c] over the taps
// inside the map, for output rows [row_begin, row_end). padding < kernel, so every window holds a
// tap. A window with a NaN gives NaN. T is float, Bfloat16 or
// uint8_t.
template <class T>
struct MaxPoolArgs {
  const T* in;  // image row `in_row_begin` of an (in_h, in_w, c) map
  std::int64_t in_row_begin;
  std::int64_t in_h, in_w, c;
  T* out;  // output row `row_begin` of an (out_h, out_w, c) map
  std::int64_t out_w;
  std::int64_t row_begin, row_end;
  std::int64_t kernel, stride, padding;
};

template <class T>
using MaxPoolFn = void (*)(const MaxPoolArgs<T>& args);

#define LPN_KERNEL(type, name, isa) void name(const MaxPoolArgs<type>& args);
#include "kernels/max_pool/kernels.inc"
#undef LPN_KERNEL

template <class T>
const Variant<MaxPoolFn<T>>& select_max_pool(Isa isa);

}  // namespace lpn
