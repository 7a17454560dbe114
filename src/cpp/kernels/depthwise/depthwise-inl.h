// The depthwise convolution's body, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>

#include "kernels/channels-inl.h"
#include "kernels/depthwise/depthwise.h"
#include "kernels/gemm_tile-inl.h"
#include "kernels/window-inl.h"

namespace lpn {
namespace {

// Four outputs share the columns they overlap in: at 3x3 and stride 1 that is 18 input and 9 weight
// loads for 36 fma, few enough that the two fma units and not the two load ports set the pace;
// wider tiles would spill on AVX2 with 7 weights. Two vectors of channels at a time make eight
// chains, the latency (4) x throughput (2) of fma.
constexpr int kDepthwiseTile = 4;

// The vertical taps of one output row that lie inside the map.
struct TapRows {
  const float* in;  // input row of the first of them
  const float* w;   // its weights
  int64_t count;
};

// Which ends of the map a tile's taps reach beyond, by the whole padding.
enum class PaddedEnd { kNone, kLeft, kRight };

// kTile neighbouring outputs from x on. Of the columns of input under them, kWidth / 2 on the side
// that `kPadded` names are padding; the others are inside the map. Channels inside, so that input,
// weights and output are each read or written in order. kTapRows is taps.count, or 0 for any: with
// the rows of a 3x3 unrolled the address arithmetic leaves the loop.
template <int kWidth, int kStride, int kTile, int kTapRows, PaddedEnd kPadded>
inline void depthwise_tile(const DepthwiseArgs& args, const TapRows& taps, int64_t x, float* out) {
  constexpr int kColumns = (kTile - 1) * kStride + kWidth;
  constexpr int kPadding = kWidth / 2;
  constexpr int kBegin = kPadded == PaddedEnd::kLeft ? kPadding : 0;
  constexpr int kEnd = kPadded == PaddedEnd::kRight ? kColumns - kPadding : kColumns;
  const int64_t c = args.c;
  const int64_t in_row = args.in_w * c;
  const int64_t tap_rows = kTapRows > 0 ? kTapRows : taps.count;
  const float* in = taps.in + (x * kStride - args.padding + kBegin) * c;  // of column kBegin
  const float* w = taps.w;
  const float* bias = args.bias;
  const Activation activation = args.activation;

  for_each_channel_group<2>(c, [=](auto lanes, auto group, int64_t at) LPN_INLINE_BODY {
    constexpr int kVectors = group.kVectors;
    F32 acc[kVectors][kTile];
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
      const F32 start = bias == nullptr ? zero<F32>() : lanes.read(bias + at + v * F32::kLanes);
#pragma GCC unroll 8
      for (int t = 0; t < kTile; ++t) acc[v][t] = start;
    }
#pragma GCC unroll 3
    for (int64_t i = 0; i < tap_rows; ++i) {
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
        const float* column = in + i * in_row + v * F32::kLanes + at;
        F32 weight[kWidth];
#pragma GCC unroll 8
        for (int j = 0; j < kWidth; ++j)
          weight[j] = lanes.read(w + (i * kWidth + j) * c + v * F32::kLanes + at);
#pragma GCC unroll 16
        for (int q = kBegin; q < kEnd; ++q) {
          const F32 value = lanes.read(column + (q - kBegin) * c);
#pragma GCC unroll 8
          for (int t = 0; t < kTile; ++t) {
            const int j = q - t * kStride;
            if (j >= 0 && j < kWidth) acc[v][t] = fma(value, weight[j], acc[v][t]);
          }
        }
      }
    }
#pragma GCC unroll 2
    for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 8
      for (int t = 0; t < kTile; ++t)
        lanes.write(out + t * c + v * F32::kLanes + at, activate(acc[v][t], activation));
    }
  });
}

template <int kWidth, int kStride, int kTile, PaddedEnd kPadded = PaddedEnd::kNone>
inline void depthwise_pixels(const DepthwiseArgs& args, const TapRows& taps, int64_t x,
                             float* out) {
  if (kWidth == 3 && taps.count == 3) {
    depthwise_tile<kWidth, kStride, kTile, 3, kPadded>(args, taps, x, out);
  } else if (kWidth == 3 && taps.count == 2) {
    depthwise_tile<kWidth, kStride, kTile, 2, kPadded>(args, taps, x, out);
  } else {
    depthwise_tile<kWidth, kStride, kTile, 0, kPadded>(args, taps, x, out);
  }
}

// One output pixel of any kernel, at any place: only the taps inside the map.
inline void depthwise_edge(const DepthwiseArgs& args, const TapRows& taps, int64_t x, float* out) {
  const WindowTaps columns = taps_inside(x, args.kw, args.stride, args.padding, args.in_w);
  const int64_t c = args.c;
  for_each_channels(c, [&](auto lanes, int64_t at) LPN_INLINE_BODY {
    F32 acc = args.bias == nullptr ? zero<F32>() : lanes.read(args.bias + at);
    for (int64_t i = 0; i < taps.count; ++i) {
      const float* in = taps.in + (i * args.in_w + columns.input) * c + at;
      const float* w = taps.w + (i * args.kw + columns.tap) * c + at;
      for (int64_t j = 0; j < columns.count; ++j) {
        acc = fma(lanes.read(in + j * c), lanes.read(w + j * c), acc);
      }
    }
    lanes.write(out + at, activate(acc, args.activation));
  });
}

inline TapRows tap_rows(const DepthwiseArgs& args, int64_t y) {
  const WindowTaps rows = taps_inside(y, args.kh, args.stride, args.padding, args.in_h);
  const int64_t row = rows.count > 0 ? rows.input - args.in_row_begin : 0;
  return {args.in + row * args.in_w * args.c, args.w + rows.tap * args.kw * args.c, rows.count};
}

// Where tiles of one row may lie: those with the padding on one side only at its very ends.
struct TileColumns {
  int64_t inside_begin, inside_end;  // outputs none of whose taps leaves the map
  bool left, right;                  // a tile fits at the row's begin, at its end
};

template <int kWidth, int kStride>
inline TileColumns tile_columns(const DepthwiseArgs& args) {
  const int64_t room =
      args.in_w + args.padding - kWidth;  // the last inside column, times the stride
  const int64_t inside_end = room < 0 ? 0 : room / kStride + 1;
  TileColumns columns;
  columns.inside_begin = (args.padding + kStride - 1) / kStride;
  columns.inside_end = inside_end < args.out_w ? inside_end : args.out_w;
  const bool whole_padding = args.padding == kWidth / 2 && args.padding <= kStride;
  columns.left = whole_padding && columns.inside_end >= kDepthwiseTile;
  // The last tap of the last output is the last column of the padding, and only its padding is
  // beyond the map.
  columns.right = whole_padding && columns.inside_end == args.out_w - 1 &&
                  (args.out_w - 1) * kStride + kWidth - args.padding == args.in_w + args.padding;
  return columns;
}

// All rows of a kernel of width kWidth: the inside in tiles, the ends in tiles too where the
// padding is that of a map that keeps its size, else one pixel at a time.
template <int kWidth, int kStride>
inline void depthwise_rows(const DepthwiseArgs& args) {
  const TileColumns columns = tile_columns<kWidth, kStride>(args);
  const int64_t c = args.c;
  float* out = args.out;
  for (int64_t y = args.row_begin; y < args.row_end; ++y, out += args.out_w * c) {
    const TapRows taps = tap_rows(args, y);
    int64_t x = 0;
    if (columns.left) {
      depthwise_pixels<kWidth, kStride, kDepthwiseTile, PaddedEnd::kLeft>(args, taps, x, out);
      x = kDepthwiseTile;
    }
    for (; x < columns.inside_begin && x < args.out_w; ++x)
      depthwise_edge(args, taps, x, out + x * c);
    for (; x + kDepthwiseTile <= columns.inside_end; x += kDepthwiseTile) {
      depthwise_pixels<kWidth, kStride, kDepthwiseTile>(args, taps, x, out + x * c);
    }
    if (columns.right && x + kDepthwiseTile == args.out_w) {
      depthwise_pixels<kWidth, kStride, kDepthwiseTile, PaddedEnd::kRight>(args, taps, x,
                                                                           out + x * c);
      x = args.out_w;
    }
    if (x + 2 <= columns.inside_end) {
      depthwise_pixels<kWidth, kStride, 2>(args, taps, x, out + x * c);
      x += 2;
    }
    for (; x < args.out_w; ++x) depthwise_edge(args, taps, x, out + x * c);
  }
}

inline void depthwise_any(const DepthwiseArgs& args) {
  float* out = args.out;
  for (int64_t y = args.row_begin; y < args.row_end; ++y) {
    const TapRows taps = tap_rows(args, y);
    for (int64_t x = 0; x < args.out_w; ++x, out += args.c) depthwise_edge(args, taps, x, out);
  }
}

template <int kStride>
inline void depthwise_stride(const DepthwiseArgs& args) {
  switch (args.kw) {
    case 3:
      return depthwise_rows<3, kStride>(args);
    case 5:
      return depthwise_rows<5, kStride>(args);
    case 7:
      return depthwise_rows<7, kStride>(args);
    default:
      return depthwise_any(args);
  }
}

inline void depthwise(const DepthwiseArgs& args) {
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
