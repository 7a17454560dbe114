// The register tile of a depthwise convolution. Include after a vec_*.h.
#pragma once

#include "kernels/channels-inl.h"
#include "kernels/depthwise/depthwise.h"
#include "kernels/gemm_tile-inl.h"
#include "kernels/window-inl.h"

namespace lpn {
namespace {

static_assert(kDepthwiseBlock % F32::kLanes == 0, "a vector's weights lie side by side");

constexpr bool kFewRegisters = kVectorRegisters < 16;
constexpr int kTileColumns = kFewRegisters ? 2 : 4;

// Output rows and vectors of channels of a tile. Rows share the input they overlap in, and maps lie
// beyond L1; but they take registers for their sums and for a row of weights each. Where sixteen
// registers hold no two rows, or stride 2 leaves them little to share, two vectors make the eight
// chains that the latency (4) x throughput (2) of fma asks for, and use whole cache lines.
// Four rows at stride 2 lie over nine of input: more than L1 has ways, where a row is whole pages.
template <int kWidth, int kStride>
struct TileSize {
  static constexpr bool kManyRegisters = kVectorRegisters >= 32;
  static constexpr bool kTwoRows = !kFewRegisters && kWidth == 3 && kStride == 1;
  static constexpr int kRows =
      kManyRegisters ? (kWidth == 3 && kStride == 1 ? 4 : 2) : (kTwoRows ? 2 : 1);
  static constexpr int kVectors = kManyRegisters || kTwoRows || kFewRegisters ? 1 : 2;
};

// How many columns of input lie under a tile.
template <int kWidth, int kStride>
constexpr int input_columns() {
  return (kTileColumns - 1) * kStride + kWidth;
}

// The weights of channel `at`, of kernels of `taps`.
inline const float* channel_taps(const float* w, int64_t taps, int64_t at) {
  const int64_t lane = at % kDepthwiseBlock;
  return w + (at - lane) * taps + lane;
}

// The first pixel under a window; the map's first where the window is beyond it.
template <class T>
inline const T* first_pixel(const DepthwiseArgs<T>& args, const WindowTaps& rows,
                            const WindowTaps& columns) {
  if (rows.count == 0 || columns.count == 0) return args.in;
  return args.in + ((rows.input - args.in_row_begin) * args.in_w + columns.input) * args.c;
}

// Outputs [y, y + rows) x [x, x + columns).
struct TileOutputs {
  int64_t y, x, rows, columns;
};

// Computes kRows x kTileColumns outputs and writes those that exist. The input under them is a
// window like any other, of which taps_inside() tells what lies inside the map. kTapRows is kh
// where the rows unroll, or 0: kRows is 1 or 2 then.
template <class T, int kWidth, int kStride, int kRows, int kVectors, int kTapRows>
class DepthwiseTile {
 public:
  // `columns` of the input under the tile are inside the map.
  DepthwiseTile(const DepthwiseArgs<T>& args, const TileOutputs& outputs, const WindowTaps& columns)
      : DepthwiseTile(args, outputs,
                      taps_inside(outputs.y, (outputs.rows - 1) * kStride + args.kh, kStride,
                                  args.padding, args.in_h),
                      columns) {}

  // All channels: whole vectors without a look at the columns where all of them are inside the map,
  // what is left with one.
  void run() const {
    const int64_t c = c_;
    int64_t inside = 0;
    if (column_end_ - column_begin_ == kInputColumns && outputs_.columns == kTileColumns) {
      inside = c - c % (kVectors * F32::kLanes);
      channels<false>(0, inside);
    }
    if (inside < c) channels<true>(inside, c);
  }

 private:
  static constexpr int kInputColumns = input_columns<kWidth, kStride>();
  static constexpr int kTapRow = kWidth * kDepthwiseBlock;

  DepthwiseTile(const DepthwiseArgs<T>& args, const TileOutputs& outputs, const WindowTaps& rows,
                const WindowTaps& columns)
      : row_begin_(rows.tap),
        row_end_(rows.tap + rows.count),
        column_begin_(columns.tap),
        column_end_(columns.tap + columns.count),
        in_(first_pixel(args, rows, columns)),
        in_row_(args.in_w * args.c),
        c_(args.c),
        kh_(args.kh),
        w_(args.w),
        bias_(args.bias),
        activation_(args.activation),
        out_(args.out + ((outputs.y - args.row_begin) * args.out_w + outputs.x) * args.c),
        out_row_(args.out_w * args.c),
        outputs_(outputs) {}

  // Channels [begin, end); all of them, unless kEdge, in whole groups of kVectors vectors.
  template <bool kEdge>
  LPN_NOT_INLINE void channels(int64_t begin, int64_t end) const {
    int64_t at = begin;
    const float* w = channel_taps(w_, kh_ * kWidth, at);
    for (; at + kVectors * F32::kLanes <= end; w = next_taps<kVectors>(w, at))
      vectors<kEdge, kVectors>(AllLanes{}, at, w);
    if constexpr (kEdge) {
      if constexpr (kVectors > 1) {
        for (; at + F32::kLanes <= end; w = next_taps<1>(w, at))
          vectors<kEdge, 1>(AllLanes{}, at, w);
      }
      if (at < end) vectors<kEdge, 1>(FirstLanes{static_cast<int>(end - at)}, at, w);
    }
  }

  // Moves `at` and its taps by kCount vectors.
  template <int kCount>
  const float* next_taps(const float* w, int64_t& at) const {
    at += kCount * F32::kLanes;
    w += kCount * F32::kLanes;
    return at % kDepthwiseBlock == 0 ? w + (kh_ * kWidth - 1) * kDepthwiseBlock : w;
  }

  template <int kCount>
  using Sums = F32[kCount][kRows][kTileColumns];

  // One row of input, from its first pixel inside the map: taps of output rows [kFirst, kLast), row
  // of taps `w` for kFirst, earlier ones for the others.
  template <bool kEdge, int kFirst, int kLast, int kCount, class Lanes>
  LPN_INLINE_BODY void add_row(Sums<kCount>& acc, const Lanes& lanes, const T* row,
                               const float* w) const {
#pragma GCC unroll 2
    for (int v = 0; v < kCount; ++v) {
      // A row of weights serves one output row after the other. Kept from one to the next, they
      // would push the sums out of the registers.
      F32 weight[kRows][kWidth];
      const float* taps = w + v * F32::kLanes;
#pragma GCC unroll 4
      for (int r = kFirst; r < kLast; ++r) {
#pragma GCC unroll 8
        for (int j = 0; j < kWidth; ++j) weight[r][j] = load<F32>(taps + j * kDepthwiseBlock);
        if (r + 1 < kLast) taps = reload_from(taps - kStride * kTapRow);
      }
      const T* column = row + v * F32::kLanes;
#pragma GCC unroll 16
      for (int q = 0; q < kInputColumns; ++q) {
        if (kEdge && (q < column_begin_ || q >= column_end_)) continue;
        const F32 value = lanes.read(column);
        column += c_;
#pragma GCC unroll 4
        for (int r = kFirst; r < kLast; ++r) {
#pragma GCC unroll 4
          for (int t = 0; t < kTileColumns; ++t) {
            const int j = q - t * kStride;
            if (j >= 0 && j < kWidth) acc[v][r][t] = fma(value, weight[r][j], acc[v][r][t]);
          }
        }
      }
    }
  }

  // Rows of input from kRow on, unrolled; `row` is the next one inside the map.
  template <bool kEdge, int kRow, int kCount, class Lanes>
  LPN_INLINE_BODY void add_unrolled(Sums<kCount>& acc, const Lanes& lanes, const T* row,
                                    const float* w) const {
    if constexpr (kRow < (kRows - 1) * kStride + kTapRows) {
      constexpr int kFirst = kRow < kTapRows ? 0 : (kRow - kTapRows) / kStride + 1;
      constexpr int kLast = kRow / kStride < kRows ? kRow / kStride + 1 : kRows;
      if (kRow >= row_begin_ && kRow < row_end_) {
        add_row<kEdge, kFirst, kLast, kCount>(acc, lanes, row,
                                              w + (kRow - kFirst * kStride) * kTapRow);
        row += in_row_;
      }
      add_unrolled<kEdge, kRow + 1, kCount>(acc, lanes, row, w);
    }
  }

  // The same in loops: rows of input under the first output row only, under both, under the second.
  template <bool kEdge, int kCount, class Lanes>
  LPN_INLINE_BODY void add_looped(Sums<kCount>& acc, const Lanes& lanes, const T* row,
                                  const float* w) const {
    static_assert(kRows <= 2, "three loops");
    constexpr int64_t kSecond = (kRows - 1) * kStride;
    const int64_t end = row_end_;
    int64_t q = row_begin_;
    w += q * kTapRow;
    for (; q < kSecond && q < end; ++q, row += in_row_, w += kTapRow) {
      if (q < kh_) add_row<kEdge, 0, 1, kCount>(acc, lanes, row, w);
    }
    for (; q < kh_ && q < end; ++q, row += in_row_, w += kTapRow)
      add_row<kEdge, 0, kRows, kCount>(acc, lanes, row, w);
    if constexpr (kRows == 2) {
      w -= kSecond * kTapRow;
      for (; q < end; ++q, row += in_row_, w += kTapRow)
        add_row<kEdge, 1, 2, kCount>(acc, lanes, row, w);
    }
  }

  template <bool kEdge, int kCount, class Lanes>
  LPN_INLINE_BODY void vectors(const Lanes& lanes, int64_t at, const float* w) const {
    Sums<kCount> acc;
#pragma GCC unroll 2
    for (int v = 0; v < kCount; ++v) {
      const F32 start = bias_ == nullptr ? zero<F32>() : lanes.read(bias_ + at + v * F32::kLanes);
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
        for (int t = 0; t < kTileColumns; ++t) acc[v][r][t] = start;
      }
    }
    if constexpr (kTapRows > 0) {
      add_unrolled<kEdge, 0, kCount>(acc, lanes, in_ + at, w);
    } else {
      add_looped<kEdge, kCount>(acc, lanes, in_ + at, w);
    }
    if (activation_ == Activation::kRelu) {
      activate_all<kCount>(acc, Activation::kRelu);
    } else if (activation_ == Activation::kRelu6) {
      activate_all<kCount>(acc, Activation::kRelu6);
    }
    write<kEdge, kCount>(acc, lanes, at);
  }

  template <int kCount>
  LPN_INLINE_BODY static void activate_all(Sums<kCount>& acc, Activation activation) {
#pragma GCC unroll 2
    for (int v = 0; v < kCount; ++v) {
#pragma GCC unroll 4
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
        for (int t = 0; t < kTileColumns; ++t) acc[v][r][t] = activate(acc[v][r][t], activation);
      }
    }
  }

  template <bool kEdge, int kCount, class Lanes>
  LPN_INLINE_BODY void write(const Sums<kCount>& acc, const Lanes& lanes, int64_t at) const {
    const int64_t c = c_, out_row = out_row_, rows = outputs_.rows, columns = outputs_.columns;
    T* row = out_ + at;
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r, row += out_row) {
      if (r >= rows) return;
      T* pixel = row;
#pragma GCC unroll 4
      for (int t = 0; t < kTileColumns; ++t, pixel += c) {
        if (kEdge && t >= columns) break;
#pragma GCC unroll 2
        for (int v = 0; v < kCount; ++v) lanes.write(pixel + v * F32::kLanes, acc[v][r][t]);
      }
    }
  }

  const int64_t row_begin_, row_end_, column_begin_, column_end_;  // inside the map
  const T* const in_;                                              // the first pixel of these
  const int64_t in_row_, c_, kh_;
  const float* const w_;
  const float* const bias_;
  const Activation activation_;
  T* const out_;
  const int64_t out_row_;
  const TileOutputs outputs_;
};

}  // namespace
}  // namespace lpn
