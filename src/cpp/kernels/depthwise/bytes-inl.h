// Depthwise convolution of bytes. Include after a vec_*.h.
#pragma once

#include <assert.h>

#include "kernels/depthwise/quad_columns-inl.h"
#include "kernels/inline_body.h"
#include "kernels/quads-inl.h"
#include "kernels/window-inl.h"

namespace lpn {
namespace {

// Output columns of a register tile. Four of two rows make the chains that the latency (4) x
// throughput (1) of a product asks for, and columns of three taps are read for half as many
// outputs.
constexpr int kByteColumns = kVectorRegisters >= 32 ? 4 : 2;

// Columns of quads that are transposed before they are multiplied: at most 24 KiB, of an L1 of 32.
constexpr int64_t kQuadColumns = 96;

// One block of channels, kRows output rows at a time. kWidth and kStride are the kernel's where its
// columns unroll, or 0.
template <int kRows, int kWidth, int kStride>
class ByteBlock {
 public:
  // Channels [at, at + U8::kLanes), of which those beyond c do not exist.
  ByteBlock(const DepthwiseArgs<uint8_t>& args, int64_t at)
      : args_(args),
        at_(at),
        quads_(quads_of(args.kh)),
        stride_(kStride > 0 ? kStride : args.stride),
        width_(kWidth > 0 ? kWidth : args.kw),
        w_(args.w + at / U8::kLanes * kRows * quads_ * args.kw * quad_weight_bytes(kQuadLayout)),
        padding_(set1<U8>(args.padding_value)) {
    const int64_t n = args.c - at < U8::kLanes ? args.c - at : U8::kLanes;
    epilogue_ = {quad_floats(args.multiplier + at, n), quad_floats(args.bias + at, n),
                 set1<U8>(args.least), set1<U8>(args.most), static_cast<int>(n)};
    store(padding_row_, padding_);
  }

  // Output columns whose quads fit: none where a single tile's do not.
  static int64_t strip(const DepthwiseArgs<uint8_t>& args) {
    const int64_t columns = kQuadColumns / quads_of(args.kh);
    if (columns < args.kw) return 0;
    const int64_t outputs = (columns - args.kw) / args.stride + 1;
    return outputs - outputs % kByteColumns;
  }

  void run(int64_t strip) {
    if (strip == 0) return run_pixels();
    if constexpr (kSweeps) return run_sweeps();
    const int64_t row = args_.out_w * args_.c;
    uint8_t* out = args_.out + at_;
    for (int64_t y = args_.row_begin; y < args_.row_end; y += kRows, out += kRows * row) {
      const int64_t rows = args_.row_end - y < kRows ? args_.row_end - y : kRows;
      for (int64_t x = 0; x < args_.out_w; x += strip) {
        const int64_t count = args_.out_w - x < strip ? args_.out_w - x : strip;
        const int64_t tiles = (count + kByteColumns - 1) / kByteColumns;
        columns_ = (tiles * kByteColumns - 1) * stride_ + width_;
        fill(y, x, rows);
        for (int64_t i = 0; i < count; i += kByteColumns) {
          const int64_t left = count - i < kByteColumns ? count - i : kByteColumns;
          tile(column_ + i * stride_, rows, left, out + (x + i) * args_.c);
        }
      }
    }
  }

 private:
  // Each output on its own, for kernels of which no tile's quads fit.
  void run_pixels() {
    uint8_t* out = args_.out + at_;
    for (int64_t y = args_.row_begin; y < args_.row_end; ++y) {
      for (int64_t x = 0; x < args_.out_w; ++x, out += args_.c)
        pixel(y * stride_ - args_.padding, x * stride_ - args_.padding, out);
    }
  }

  LPN_NOT_INLINE void pixel(int64_t in_y, int64_t in_x, uint8_t* out) {
    I32 sum[kQuadVectors];
    for (I32& part : sum) part = zero<I32>();
    for (int64_t g = 0; g < quads_; ++g) {
      const int64_t row = g * kQuadTerms;
      const QuadRows rows = quad_rows(args_, in_y + row, args_.kh - row, at_, padding_row_);
      for (int64_t j = 0; j < width_; ++j) {
        QuadColumn column = padding_column();
        if (in_x + j >= 0 && in_x + j < args_.in_w)
          quad_columns(rows, in_x + j, 1, epilogue_.n, &column);
#pragma GCC unroll 4
        for (int s = 0; s < kQuadVectors; ++s)
          sum[s] = add_quad(Quad::terms(column.part[s]), weights(0, g, j, s), sum[s]);
      }
    }
    for (int s = 0; s < kQuadVectors; ++s) sum[s] = quantize(sum[s], epilogue_, s);
    write(clamp_bytes(saturate(sum[0], sum[1]), saturate(sum[2], sum[3]), epilogue_), out);
  }

  QuadColumn padding_column() const { return {{padding_, padding_, padding_, padding_}}; }

  // Where registers hold four columns of quads, these slide over a row and are not stored.
  static constexpr bool kSweeps =
      kWidth == 3 && kStride == 1 && kRows == 2 && kHasDot4 && kVectorRegisters >= 32;

  void run_sweeps() {
    const int64_t row = args_.out_w * args_.c;
    uint8_t* out = args_.out + at_;
    for (int64_t y = args_.row_begin; y < args_.row_end; y += kRows, out += kRows * row) {
      const int64_t rows = args_.row_end - y < kRows ? args_.row_end - y : kRows;
      if (epilogue_.n == U8::kLanes) {
        sweep(AllBytes{}, y, rows, out);
      } else {
        sweep(FirstBytes{epilogue_.n}, y, rows, out);
      }
    }
  }

  // Column x of four rows, or padding.
  template <class Lanes>
  LPN_INLINE_BODY QuadColumn column_at(const Lanes& lanes, const QuadRows& rows, int64_t x,
                                       int64_t in_w) const {
    QuadColumn column;
    if (x >= 0 && x < in_w) {
      quad_columns(lanes, rows, x, 1, &column);
    } else {
      column = padding_column();
    }
    return column;
  }

  // Output rows [y, y + rows).
  template <class Lanes>
  LPN_NOT_INLINE void sweep(const Lanes& lanes, int64_t y, int64_t rows, uint8_t* out) const {
    const int64_t in_w = args_.in_w, out_w = args_.out_w, c = args_.c, padding = args_.padding;
    const QuadRows from = quad_rows(args_, y - padding, rows - 1 + args_.kh, at_, padding_row_);
    QuadColumn column[4];
    column[0] = column_at(lanes, from, -padding, in_w);
    column[1] = column_at(lanes, from, 1 - padding, in_w);
    for (int64_t x = 0; x < out_w; x += 2, out += 2 * c) {
      column[2] = column_at(lanes, from, x + 2 - padding, in_w);
      column[3] = column_at(lanes, from, x + 3 - padding, in_w);
      I16 words[2][2][2];
#pragma GCC unroll 2
      for (int half = 0; half < 2; ++half) {
        I32 value[2][2][2];
#pragma GCC unroll 2
        for (int i = 0; i < 2; ++i) {
          const int s = 2 * half + i;
#pragma GCC unroll 2
          for (int r = 0; r < 2; ++r) {
            value[i][r][0] = value[i][r][1] = zero<I32>();
#pragma GCC unroll 3
            for (int j = 0; j < 3; ++j) {
              const typename Quad::Weights weight = weights(r, 0, j, s);
#pragma GCC unroll 2
              for (int t = 0; t < 2; ++t)
                value[i][r][t] =
                    add_quad(Quad::terms(column[j + t].part[s]), weight, value[i][r][t]);
            }
#pragma GCC unroll 2
            for (int t = 0; t < 2; ++t) value[i][r][t] = quantize(value[i][r][t], epilogue_, s);
          }
        }
#pragma GCC unroll 2
        for (int r = 0; r < 2; ++r) {
#pragma GCC unroll 2
          for (int t = 0; t < 2; ++t) words[half][r][t] = saturate(value[0][r][t], value[1][r][t]);
        }
      }
#pragma GCC unroll 2
      for (int r = 0; r < 2; ++r) {
        if (r >= rows) break;
        uint8_t* pixel = out + r * out_w * c;
        lanes.write(pixel, clamp_bytes(words[0][r][0], words[1][r][0], epilogue_));
        if (x + 1 < out_w)
          lanes.write(pixel + c, clamp_bytes(words[0][r][1], words[1][r][1], epilogue_));
      }
      column[0] = column[2];
      column[1] = column[3];
    }
  }

  // Transposes the input under output rows [y, y + rows) from column x on.
  void fill(int64_t y, int64_t x, int64_t rows) {
    const int64_t in_y = y * stride_ - args_.padding;
    const int64_t needed = (rows - 1) * stride_ + args_.kh;
    const WindowTaps inside = taps_inside(x, columns_, stride_, args_.padding, args_.in_w);
    QuadColumn* to = column_;
    for (int64_t g = 0; g < quads_; ++g, to += columns_) {
      const int64_t row = g * kQuadTerms;
      const QuadRows from = quad_rows(args_, in_y + row, needed - row, at_, padding_row_);
      for (int64_t q = 0; q < inside.tap; ++q) to[q] = padding_column();
      quad_columns(from, inside.input, inside.count, epilogue_.n, to + inside.tap);
      for (int64_t q = inside.tap + inside.count; q < columns_; ++q) to[q] = padding_column();
    }
  }

  // Output rows by columns, those of them that exist.
  LPN_NOT_INLINE void tile(const QuadColumn* columns, int64_t rows, int64_t count,
                           uint8_t* out) const {
    I16 words[2][kRows][kByteColumns];
#pragma GCC unroll 2
    for (int half = 0; half < 2; ++half) {
      I32 value[2][kRows][kByteColumns];
#pragma GCC unroll 2
      for (int i = 0; i < 2; ++i) {
        const int s = 2 * half + i;
        sums(columns, s, value[i]);
#pragma GCC unroll 2
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
          for (int t = 0; t < kByteColumns; ++t)
            value[i][r][t] = quantize(value[i][r][t], epilogue_, s);
        }
      }
#pragma GCC unroll 2
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
        for (int t = 0; t < kByteColumns; ++t)
          words[half][r][t] = saturate(value[0][r][t], value[1][r][t]);
      }
    }
    const int64_t row = args_.out_w * args_.c;
#pragma GCC unroll 2
    for (int r = 0; r < kRows; ++r) {
      if (r >= rows) return;
      uint8_t* pixel = out + r * row;
#pragma GCC unroll 4
      for (int t = 0; t < kByteColumns; ++t, pixel += args_.c) {
        if (t >= count) break;
        write(clamp_bytes(words[0][r][t], words[1][r][t], epilogue_), pixel);
      }
    }
  }

  void write(U8 bytes, uint8_t* out) const {
    if (epilogue_.n == U8::kLanes) {
      store(out, bytes);
    } else {
      store_n(out, epilogue_.n, bytes);
    }
  }

  // The weights of the s-th vectors, of taps (g, j) for the r-th row of a tile.
  typename Quad::Weights weights(int r, int64_t g, int64_t j, int s) const {
    const int64_t quad = (r * quads_ + g) * width_ + j;
    return Quad::weights(w_ + (quad * kQuadVectors + s) * kVectorBytes);
  }

  LPN_INLINE_BODY void sums(const QuadColumn* columns, int s,
                            I32 (&sum)[kRows][kByteColumns]) const {
#pragma GCC unroll 2
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int t = 0; t < kByteColumns; ++t) sum[r][t] = zero<I32>();
    }
    if constexpr (kWidth > 0) {
      typename Quad::Weights weight[kRows][kWidth];
#pragma GCC unroll 2
      for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
        for (int j = 0; j < kWidth; ++j) weight[r][j] = weights(r, 0, j, s);
      }
#pragma GCC unroll 16
      for (int q = 0; q < (kByteColumns - 1) * kStride + kWidth; ++q) {
        const typename Quad::Terms terms = Quad::terms(columns[q].part[s]);
#pragma GCC unroll 2
        for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
          for (int t = 0; t < kByteColumns; ++t) {
            const int j = q - t * kStride;
            if (j >= 0 && j < kWidth) sum[r][t] = add_quad(terms, weight[r][j], sum[r][t]);
          }
        }
      }
    } else {
      for (int64_t g = 0; g < quads_; ++g, columns += columns_) {
        for (int64_t j = 0; j < width_; ++j) {
          typename Quad::Weights weight[kRows];
#pragma GCC unroll 2
          for (int r = 0; r < kRows; ++r) weight[r] = weights(r, g, j, s);
#pragma GCC unroll 4
          for (int t = 0; t < kByteColumns; ++t) {
            const typename Quad::Terms terms = Quad::terms(columns[t * stride_ + j].part[s]);
#pragma GCC unroll 2
            for (int r = 0; r < kRows; ++r) sum[r][t] = add_quad(terms, weight[r], sum[r][t]);
          }
        }
      }
    }
  }

  const DepthwiseArgs<uint8_t>& args_;
  const int64_t at_;
  const int64_t quads_, stride_, width_;
  const int8_t* const w_;
  const U8 padding_;
  ByteEpilogue epilogue_;
  int64_t columns_ = 0;  // of quads now in column_, for each four rows
  QuadColumn column_[kQuadColumns];
  uint8_t padding_row_[U8::kLanes];
};

template <int kRows, int kWidth, int kStride>
inline void depthwise_blocks(const DepthwiseArgs<uint8_t>& args) {
  using Block = ByteBlock<kRows, kWidth, kStride>;
  const int64_t strip = Block::strip(args);
  for (int64_t at = 0; at < args.c; at += U8::kLanes) Block(args, at).run(strip);
}

inline void depthwise(const DepthwiseArgs<uint8_t>& args) {
  assert(
      windows_exist(args.row_begin, args.row_end, args.kh, args.stride, args.padding, args.in_h));
  assert(windows_exist(0, args.out_w, args.kw, args.stride, args.padding, args.in_w));
  assert(args.c >= 1 && args.in_row_begin >= 0);
  assert(args.in != nullptr && args.w != nullptr && args.out != nullptr);
  assert(args.multiplier != nullptr && args.bias != nullptr);
  if (args.kh == 3 && args.kw == 3 && args.stride == 1) return depthwise_blocks<2, 3, 1>(args);
  if (args.kh == 3 && args.kw == 3 && args.stride == 2) return depthwise_blocks<1, 3, 2>(args);
  if (depthwise_quad_rows(args.kh, args.stride) == 2) return depthwise_blocks<2, 0, 0>(args);
  depthwise_blocks<1, 0, 0>(args);
}

}  // namespace
}  // namespace lpn
