// Max pooling over NHWC maps, by output rows.
#pragma once

#include <cstdint>

#include "kernels/variants.h"

namespace lpn {

// out[y, x, c] = max_{i, j} in[y * stride + i - padding, x * stride + j - padding, c] over the taps
// inside the map, for output rows [row_begin, row_end). padding < kernel, so every window holds a
// tap. A window with a NaN gives NaN.
struct MaxPoolArgs {
  const float* in;  // image row `in_row_begin` of an (in_h, in_w, c) map
  std::int64_t in_row_begin;
  std::int64_t in_h, in_w, c;
  float* out;  // output row `row_begin` of an (out_h, out_w, c) map
  std::int64_t out_w;
  std::int64_t row_begin, row_end;
  std::int64_t kernel, stride, padding;
};

using MaxPoolFn = void (*)(const MaxPoolArgs& args);

#define LPN_KERNEL(name, isa) void name(const MaxPoolArgs& args);
#include "kernels/max_pool/kernels.inc"
#undef LPN_KERNEL

const Variant<MaxPoolFn>& select_max_pool(Isa isa);

}  // namespace lpn
