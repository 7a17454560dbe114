// The max-pool's body, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>
#include <math.h>

#include "kernels/channels-inl.h"
#include "kernels/max_pool/max_pool.h"
#include "kernels/window-inl.h"

namespace lpn {
namespace {

// max() alone would forget a NaN at the next tap, so NaNs are collected beside it.
struct NanMax {
  F32 best = set1<F32>(-INFINITY);
  F32::Mask nan = mask_none<F32>();

  void add(F32 value) {
    best = max(best, value);
    nan = mask_or(nan, is_nan(value));
  }
  void add(F32 a, F32 b) {
    best = max(best, max(a, b));
    nan = mask_or(nan, any_is_nan(a, b));
  }
  F32 result() const { return select(nan, set1<F32>(NAN), best); }
};

// One output pixel: the maximum over `rows` x `columns` pixels from `in`.
template <class T>
inline void max_pool_pixel(const MaxPoolArgs<T>& args, const T* in, int64_t rows, int64_t columns,
                           T* out) {
  for_each_channels(args.c, [&](auto lanes, int64_t c) LPN_INLINE_BODY {
    NanMax result;
    for (int64_t i = 0; i < rows; ++i) {
      const T* tap = in + i * args.in_w * args.c + c;
      for (int64_t j = 0; j < columns; ++j, tap += args.c) result.add(lanes.read(tap));
    }
    lanes.write(out + c, result.result());
  });
}

// The same for 3 x 3 pixels, unrolled: the usual case, and half of the NaN checks see two taps.
template <class T>
inline void max_pool_pixel_3x3(const MaxPoolArgs<T>& args, const T* in, T* out) {
  const int64_t c = args.c;
  const int64_t row = args.in_w * c;
  for_each_channels(c, [=](auto lanes, int64_t at) LPN_INLINE_BODY {
    NanMax result;
#pragma GCC unroll 3
    for (int i = 0; i < 3; ++i) {
      const T* tap = in + i * row + at;
      result.add(lanes.read(tap), lanes.read(tap + c));
      result.add(lanes.read(tap + 2 * c));
    }
    lanes.write(out + at, result.result());
  });
}

// Of bytes, of which none is a NaN.
LPN_INLINE_BODY inline void max_pool_pixel(const MaxPoolArgs<uint8_t>& args, const uint8_t* in,
                                           int64_t rows, int64_t columns, uint8_t* out) {
  const int64_t channels = args.c;
  const int64_t row = args.in_w * channels;
  for_each_bytes(channels, [=](auto lanes, int64_t c) LPN_INLINE_BODY {
    U8 best = set1<U8>(0);
    for (int64_t i = 0; i < rows; ++i) {
      const uint8_t* tap = in + i * row + c;
      for (int64_t j = 0; j < columns; ++j, tap += channels) best = max(best, lanes.read(tap));
    }
    lanes.write(out + c, best);
  });
}
inline void max_pool_pixel_3x3(const MaxPoolArgs<uint8_t>& args, const uint8_t* in, uint8_t* out) {
  max_pool_pixel(args, in, 3, 3, out);
}

template <class T>
inline void max_pool(const MaxPoolArgs<T>& args) {
  const int64_t kernel = args.kernel;
  const int64_t stride = args.stride;
  const int64_t padding = args.padding;
  assert(windows_exist(args.row_begin, args.row_end, kernel, stride, padding, args.in_h));
  assert(windows_exist(0, args.out_w, kernel, stride, padding, args.in_w));
  assert(padding < kernel && args.c >= 1 && args.in_row_begin >= 0);
  assert(args.in != nullptr && args.out != nullptr);
  T* out = args.out;
  for (int64_t y = args.row_begin; y < args.row_end; ++y) {
    const WindowTaps rows = taps_inside(y, kernel, stride, padding, args.in_h);
    for (int64_t x = 0; x < args.out_w; ++x, out += args.c) {
      const WindowTaps columns = taps_inside(x, kernel, stride, padding, args.in_w);
      const int64_t pixel = (rows.input - args.in_row_begin) * args.in_w + columns.input;
      const T* in = args.in + pixel * args.c;
      if (rows.count == 3 && columns.count == 3) {
        max_pool_pixel_3x3(args, in, out);
      } else {
        max_pool_pixel(args, in, rows.count, columns.count, out);
      }
    }
  }
}

}  // namespace
}  // namespace lpn
