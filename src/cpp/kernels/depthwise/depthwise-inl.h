// The depthwise convolution's body, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>

#include "kernels/channels-inl.h"
#include "kernels/depthwise/depthwise.h"
#include "kernels/depthwise/tile-inl.h"
#include "kernels/gemm_tile-inl.h"
#include "kernels/window-inl.h"

namespace lpn {
namespace {

// One output pixel of any kernel, at any place: only the taps inside the map.
template <class T>
inline void depthwise_pixel(const DepthwiseArgs<T>& args, const WindowTaps& rows, int64_t x,
                            T* out) {
  const WindowTaps columns = taps_inside(x, args.kw, args.stride, args.padding, args.in_w);
  const int64_t c = args.c;
  const T* in = first_pixel(args, rows, columns);
  const int64_t first_tap = (rows.tap * args.kw + columns.tap) * kDepthwiseBlock;
  for_each_channels(c, [&](auto lanes, int64_t at) LPN_INLINE_BODY {
    F32 acc = args.bias == nullptr ? zero<F32>() : lanes.read(args.bias + at);
    const float* taps = channel_taps(args.w, args.kh * args.kw, at) + first_tap;
    for (int64_t i = 0; i < rows.count; ++i, taps += args.kw * kDepthwiseBlock) {
      const T* row = in + i * args.in_w * c + at;
      for (int64_t j = 0; j < columns.count; ++j)
        acc = fma(lanes.read(row + j * c), load<F32>(taps + j * kDepthwiseBlock), acc);
    }
    lanes.write(out + at, activate(acc, args.activation));
  });
}

template <class T>
inline void depthwise_any(const DepthwiseArgs<T>& args) {
  T* out = args.out;
  for (int64_t y = args.row_begin; y < args.row_end; ++y) {
    const WindowTaps rows = taps_inside(y, args.kh, args.stride, args.padding, args.in_h);
    for (int64_t x = 0; x < args.out_w; ++x, out += args.c) depthwise_pixel(args, rows, x, out);
  }
}

// All rows of a kernel of width kWidth, in columns of tiles: the rows that a tile shares with the
// one below are then still in L1.
template <int kWidth, int kStride, int kTapRows, class T>
inline void depthwise_tiles(const DepthwiseArgs<T>& args) {
  using Size = TileSize<kWidth, kStride>;
  constexpr int kVectors = Size::kVectors;
  constexpr int kRows = kTapRows > 0 || Size::kRows < 2 ? Size::kRows : 2;
  constexpr int kFewRows = kRows < 2 ? kRows : 2;  // for what tiles of four leave over
  for (int64_t x = 0; x < args.out_w; x += kTileColumns) {
    const int64_t count = args.out_w - x < kTileColumns ? args.out_w - x : kTileColumns;
    const WindowTaps columns =
        taps_inside(x, input_columns<kWidth, kStride>(), kStride, args.padding, args.in_w);
    int64_t y = args.row_begin;
    for (; args.row_end - y > kFewRows; y += kRows) {
      const int64_t rows = args.row_end - y < kRows ? args.row_end - y : kRows;
      DepthwiseTile<T, kWidth, kStride, kRows, kVectors, kTapRows>(args, {y, x, rows, count},
                                                                   columns)
          .run();
    }
    if (y < args.row_end) {
      DepthwiseTile<T, kWidth, kStride, kFewRows, kVectors, kTapRows>(
          args, {y, x, args.row_end - y, count}, columns)
          .run();
    }
  }
}

template <int kStride, class T>
inline void depthwise_stride(const DepthwiseArgs<T>& args) {
  switch (args.kw) {
    case 3:
      return args.kh == 3 ? depthwise_tiles<3, kStride, 3>(args)
                          : depthwise_tiles<3, kStride, 0>(args);
    case 5:
      return depthwise_tiles<5, kStride, 0>(args);
    case 7:
      return depthwise_tiles<7, kStride, 0>(args);
    default:
      return depthwise_any(args);
  }
}

template <class T>
inline void depthwise(const DepthwiseArgs<T>& args) {
  assert(
      windows_exist(args.row_begin, args.row_end, args.kh, args.stride, args.padding, args.in_h));
  assert(windows_exist(0, args.out_w, args.kw, args.stride, args.padding, args.in_w));
  assert(args.c >= 1 && args.in_row_begin >= 0);
  assert(args.in != nullptr && args.w != nullptr && args.out != nullptr);
  if (args.stride == 1) return depthwise_stride<1>(args);
  if (args.stride == 2) return depthwise_stride<2>(args);
  depthwise_any(args);
}

}  // namespace
}  // namespace lpn
