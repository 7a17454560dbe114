// The dense convolution's body for bytes. Include after a vec_*.h.
#pragma once

#include <assert.h>
#include <string.h>

#include "kernels/conv/conv.h"
#include "kernels/conv/windows.h"
#include "kernels/quantized_tile-inl.h"
#include "kernels/window-inl.h"

namespace lpn {
namespace {

using ByteConvArgs = ConvArgs<uint8_t, uint8_t>;

// The windows of one output row: that of pixel x consists of `rows` rows of `terms` terms, whole
// groups, from data + x * step on and `ld` apart. Terms beyond a window's own have weights of zero.
struct ByteWindows {
  const ByteTerm* data;
  int64_t step, ld, rows, terms;
};

inline void fill_terms(uint8_t value, int64_t n, uint8_t* to) {
  memset(to, value, static_cast<size_t>(n));
}
inline void fill_terms(uint8_t value, int64_t n, int16_t* to) {
  for (int64_t i = 0; i < n; ++i) to[i] = value;
}
inline void copy_terms(const uint8_t* from, int64_t n, uint8_t* to) {
  memcpy(to, from, static_cast<size_t>(n));
}
inline void copy_terms(const uint8_t* from, int64_t n, int16_t* to) { widen_row(from, n, to); }

// Whether windows are read where the map lies.
inline bool are_in_place(const ByteConvArgs& args) {
  return kHasDot4 && args.padding == 0 && args.kw * args.in_c % kTermGroup<ByteTerm> == 0;
}

// The rows that the call's windows cover, those outside the map too, each with its padding.
// Widening writes some terms too many; those of the next row come after it.
inline void copy_padded_rows(const ByteConvArgs& args, ByteTerm* to) {
  const int64_t first = args.row_begin * args.stride - args.padding;
  const int64_t count = covered_rows(args.row_end - args.row_begin, args.kh, args.stride);
  const int64_t width = args.in_w * args.in_c;
  const int64_t side = args.padding * args.in_c;
  for (int64_t y = first; y < first + count; ++y, to += width + 2 * side) {
    if (y < 0 || y >= args.in_h) {
      fill_terms(args.padding_value, width + 2 * side, to);
      continue;
    }
    fill_terms(args.padding_value, side, to);
    copy_terms(args.in + (y - args.in_row_begin) * width, width, to + side);
    fill_terms(args.padding_value, side, to + side + width);
  }
}

// Windows that are multiplied as they are.
struct NoGathering {
  void pixels(int64_t, int64_t) const {}
};

// Copies the terms of each window of a row one after the other. Rows of a window are copied in
// pieces; what a piece has too much is overwritten by the next one, in ascending order.
struct Gathering {
  static constexpr int64_t kPiece = kCopiedPiece / static_cast<int64_t>(sizeof(ByteTerm));

  ByteWindows from;
  int64_t segment, window, count;
  ByteTerm* to;

  // Of pixels [begin, end), as far as there are any.
  void pixels(int64_t begin, int64_t end) const {
    for (int64_t x = begin; x < (end < count ? end : count); ++x) {
      const ByteTerm* row = from.data + x * from.step;
      ByteTerm* copy = to + x * window;
      if (segment <= kPiece) {
#pragma GCC unroll 4
        for (int64_t i = 0; i < from.rows; ++i, row += from.ld, copy += segment)
          memcpy(copy, row, kCopiedPiece);
      } else {
        for (int64_t i = 0; i < from.rows; ++i, row += from.ld, copy += segment) {
          for (int64_t t = 0; t < segment; t += kPiece) memcpy(copy + t, row + t, kCopiedPiece);
        }
      }
    }
  }
};

// Output pixels x .. x + kRows - 1 of row y, one panel of output channels.
template <int kRows, int kVectors>
inline void byte_conv_tile(const ByteConvArgs& args, const ByteWindows& windows, int64_t y,
                           int64_t x, int64_t column, int64_t columns,
                           const WeightOf<ByteTerm>* panel) {
  I32 acc[kRows][kVectors];
  clear(acc);
  for (int64_t i = 0; i < windows.rows; ++i) {
    accumulate(acc, windows.data + x * windows.step + i * windows.ld, windows.step,
               panel + i * windows.terms * kPanel, windows.terms, NothingAhead{});
  }
  const int64_t pixel = (y - args.row_begin) * args.out_w + x;
  const QuantizedEpilogue<uint8_t> epilogue = {
      args.multiplier,
      nullptr,
      0.0f,
      args.residual == nullptr ? nullptr : args.residual + pixel * args.ld_residual,
      args.ld_residual,
      args.residual_scale,
      args.least,
      args.most,
      args.out + pixel * args.ld_out,
      args.ld_out};
  const float* bias = args.bias;
  if (args.row_class != nullptr) bias += args.row_class[y] * args.column_classes * args.out_c;
  const uint8_t* column_class = args.column_class == nullptr ? nullptr : args.column_class + x;
  const auto bias_of = [&](int r) LPN_INLINE_BODY {
    return column_class == nullptr ? bias : bias + column_class[r] * args.out_c;
  };
  store_quantized_tile(acc, epilogue, bias_of, column, columns);
}

// Windows are gathered one tile before they are multiplied: what is being stored could not be read
// at once, and between products there is time for it.
template <int kVectors, class Gather>
inline void byte_conv_row(const ByteConvArgs& args, const ByteWindows& windows,
                          const Gather& gathering, int64_t y, int64_t column, int64_t columns,
                          const WeightOf<ByteTerm>* panel) {
  int64_t x = 0;
  gathering.pixels(0, kTileRows);
  for (; x + kTileRows <= args.out_w; x += kTileRows) {
    gathering.pixels(x + kTileRows, x + 2 * kTileRows);
    byte_conv_tile<kTileRows, kVectors>(args, windows, y, x, column, columns, panel);
  }
  for (; x + 2 <= args.out_w; x += 2)
    byte_conv_tile<2, kVectors>(args, windows, y, x, column, columns, panel);
  if (x < args.out_w) byte_conv_tile<1, kVectors>(args, windows, y, x, column, columns, panel);
}

// One panel of a row.
template <class Gather>
inline void byte_conv_panel(const ByteConvArgs& args, const ByteWindows& windows,
                            const Gather& gathering, int64_t y, int64_t column) {
  const auto* panel =
      static_cast<const WeightOf<ByteTerm>*>(args.packed_w) + column * windows.rows * windows.terms;
  const int64_t columns = args.out_c - column < kPanel ? args.out_c - column : kPanel;
  const int vectors = static_cast<int>((columns + F32::kLanes - 1) / F32::kLanes);
  if (vectors == kTileVectors) {
    byte_conv_row<kTileVectors>(args, windows, gathering, y, column, columns, panel);
  } else if (vectors == 1) {
    byte_conv_row<1>(args, windows, gathering, y, column, columns, panel);
  } else if (vectors == 2) {
    byte_conv_row<2>(args, windows, gathering, y, column, columns, panel);
  } else {
    byte_conv_row<3>(args, windows, gathering, y, column, columns, panel);
  }
}

// Panels outside, so that one stays in L2 while the rows pass by.
inline void multiply_windows(const ByteConvArgs& args, ByteWindows windows, int64_t row_step) {
  const ByteTerm* first = windows.data;
  for (int64_t column = 0; column < args.out_c; column += kPanel) {
    windows.data = first;
    for (int64_t y = args.row_begin; y < args.row_end; ++y, windows.data += row_step)
      byte_conv_panel(args, windows, NoGathering{}, y, column);
  }
}

// Rows outside: windows that are gathered are small, and so are their panels.
inline void multiply_gathered(const ByteConvArgs& args, ByteWindows windows, int64_t row_step,
                              ByteTerm* gathered) {
  const int64_t segment = args.kw * args.in_c;
  const int64_t terms = grouped_terms<ByteTerm>(args.kh * segment);
  const ByteWindows as_one_row = {gathered, terms, 0, 1, terms};
  for (int64_t y = args.row_begin; y < args.row_end; ++y, windows.data += row_step) {
    byte_conv_panel(args, as_one_row, Gathering{windows, segment, terms, args.out_w, gathered}, y,
                    0);
    for (int64_t column = kPanel; column < args.out_c; column += kPanel)
      byte_conv_panel(args, as_one_row, NoGathering{}, y, column);
  }
}

inline void quantized_conv(const ByteConvArgs& args) {
  assert(
      windows_exist(args.row_begin, args.row_end, args.kh, args.stride, args.padding, args.in_h));
  assert(windows_exist(0, args.out_w, args.kw, args.stride, args.padding, args.in_w));
  assert(args.in_c >= 1 && args.out_c >= 1 && args.in_row_begin >= 0);
  assert(args.in != nullptr && args.packed_w != nullptr && args.out != nullptr);
  assert(args.multiplier != nullptr && args.bias != nullptr);
  assert(args.ld_out >= args.out_c && (args.residual == nullptr || args.ld_residual >= args.out_c));
  if (args.row_begin == args.row_end) return;
  const int64_t segment = args.kw * args.in_c;
  ByteWindows windows = {nullptr, args.stride * args.in_c,
                         (args.in_w + 2 * args.padding) * args.in_c, args.kh,
                         grouped_terms<ByteTerm>(segment)};
  auto* scratch = static_cast<ByteTerm*>(args.scratch);
  if (are_in_place(args)) {
    const uint8_t* rows = args.in + (args.row_begin * args.stride - args.in_row_begin) * windows.ld;
    windows.data = static_cast<const ByteTerm*>(static_cast<const void*>(rows));
  } else {
    assert(args.scratch != nullptr);
    copy_padded_rows(args, scratch);
    windows.data = scratch;
  }
  const int64_t row_step = args.stride * windows.ld;
  if (!gathers_windows<ByteTerm>(args.kh, segment))
    return multiply_windows(args, windows, row_step);
  const int64_t copied = covered_rows(args.row_end - args.row_begin, args.kh, args.stride);
  multiply_gathered(args, windows, row_step, scratch + copied * windows.ld + kScratchSlack);
}

}  // namespace
}  // namespace lpn
