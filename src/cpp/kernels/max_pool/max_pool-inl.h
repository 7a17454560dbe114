// The max-pool's body, written once. Include after a vec_*.h.
#pragma once

#include <math.h>

#include "kernels/channels-inl.h"
#include "kernels/max_pool/max_pool.h"

namespace lpn {
namespace {

// One output pixel: the maximum over `rows` x `columns` pixels from `in`. max() alone would forget
// a NaN at the next tap, so NaNs are collected beside it.
inline void max_pool_pixel(const MaxPoolArgs& args, const float* in, int64_t rows, int64_t columns,
                           float* out) {
  for_each_channels(args.c, [&](auto lanes, int64_t c) LPN_INLINE_BODY {
    F32 best = set1(-INFINITY);
    Mask nan = mask_none();
    for (int64_t i = 0; i < rows; ++i) {
      const float* tap = in + i * args.in_w * args.c + c;
      for (int64_t j = 0; j < columns; ++j, tap += args.c) {
        const F32 value = lanes.read(tap);
        best = max(best, value);
        nan = mask_or(nan, is_nan(value));
      }
    }
    lanes.write(out + c, select(nan, set1(NAN), best));
  });
}

inline void max_pool(const MaxPoolArgs& args) {
  float* out = args.out;
  for (int64_t y = args.row_begin; y < args.row_end; ++y) {
    const int64_t top = y * args.stride - args.padding;
    const int64_t i_begin = top < 0 ? -top : 0;
    const int64_t i_end = args.in_h - top < args.kernel ? args.in_h - top : args.kernel;
    for (int64_t x = 0; x < args.out_w; ++x, out += args.c) {
      const int64_t left = x * args.stride - args.padding;
      const int64_t j_begin = left < 0 ? -left : 0;
      const int64_t j_end = args.in_w - left < args.kernel ? args.in_w - left : args.kernel;
      const int64_t pixel = (top + i_begin - args.in_row_begin) * args.in_w + left + j_begin;
      max_pool_pixel(args, args.in + pixel * args.c, i_end - i_begin, j_end - j_begin, out);
    }
  }
}

}  // namespace
}  // namespace lpn
