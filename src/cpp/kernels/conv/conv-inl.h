// The dense convolution's body, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>
#include <string.h>

#include "kernels/channels-inl.h"
#include "kernels/conv/conv.h"
#include "kernels/gemm_tile-inl.h"
#include "kernels/window-inl.h"

namespace lpn {
namespace {

// Input rows from `begin` on, each with `padding` zero pixels on both sides; row y starts at
// data + (y - begin) * ld.
template <class T>
struct PaddedRows {
  const T* data;
  int64_t begin;
  int64_t ld;
};

template <class T>
inline void copy_row(const T* in, int64_t n, T* row) {
  memcpy(row, in, static_cast<size_t>(n) * sizeof(T));
}
inline void copy_row(const float* in, int64_t n, Bfloat16* row) {
  for_each_channels(
      n, [=](auto lanes, int64_t i) LPN_INLINE_BODY { lanes.write(row + i, lanes.read(in + i)); });
}

// The rows of the map that this call's outputs read. Without padding they are read where they lie;
// with it, and where they are rounded, they are copied once per call, so that every row of a tap is
// kw * in_c contiguous factors and no tile knows about the border.
template <class In, class Out>
inline PaddedRows<Out> padded_rows(const ConvArgs<In, Out>& args) {
  constexpr bool kRounds = sizeof(In) != sizeof(Out);
  const int64_t first = args.row_begin * args.stride - args.padding;
  const int64_t last = (args.row_end - 1) * args.stride - args.padding + args.kh;
  const int64_t begin = first < 0 ? 0 : first;
  const int64_t end = last > args.in_h ? args.in_h : last;
  const int64_t width = args.in_w * args.in_c;
  if (begin >= end) return {args.scratch, args.in_row_begin, width};  // no row is read
  const In* in = args.in + (begin - args.in_row_begin) * width;
  if constexpr (!kRounds) {
    if (args.padding == 0) return {in, begin, width};
  }

  const int64_t side = args.padding * args.in_c;
  const int64_t ld = width + 2 * side;
  const size_t side_bytes = static_cast<size_t>(side) * sizeof(Out);
  Out* row = args.scratch;
  for (int64_t y = begin; y < end; ++y, row += ld, in += width) {
    memset(row, 0, side_bytes);
    copy_row(in, width, row + side);
    memset(row + side + width, 0, side_bytes);
  }
  return {args.scratch, begin, ld};
}

// Output pixels x .. x + kRows - 1 of row y, one panel of output channels. Taps above and below the
// map are skipped, those beside it multiply the zeros of the padding.
template <int kRows, int kVectors, class In, class Out>
inline void conv_tile(const ConvArgs<In, Out>& args, const PaddedRows<Out>& rows, int64_t y,
                      int64_t x, int64_t column, int64_t columns, const Out* panel) {
  const WindowTaps taps = taps_inside(y, args.kh, args.stride, args.padding, args.in_h);
  const int64_t step = args.stride * args.in_c;
  const int64_t segment = args.kw * args.in_c;
  const int64_t panel_row = grouped_terms<Out>(segment) * kPanel;
  const Out* a = rows.data;
  if (taps.count > 0) a += (taps.input - rows.begin) * rows.ld + x * step;
  const Out* b = panel + taps.tap * panel_row;

  F32 acc[kRows][kVectors];
  clear(acc);
  for (int64_t i = 0; i < taps.count; ++i)
    accumulate(acc, a + i * rows.ld, step, b + i * panel_row, segment, NothingAhead{});
  const int64_t pixel = (y - args.row_begin) * args.out_w + x;
  const Out* residual =
      args.residual == nullptr ? nullptr : args.residual + pixel * args.ld_residual;
  store_tile(acc, Epilogue{args.bias, nullptr, args.activation}, column, columns, residual,
             args.ld_residual, args.out + pixel * args.ld_out, args.ld_out);
}

template <int kVectors, class In, class Out>
inline void conv_panel_rows(const ConvArgs<In, Out>& args, const PaddedRows<Out>& rows,
                            int64_t column, int64_t columns, const Out* panel) {
  for (int64_t y = args.row_begin; y < args.row_end; ++y) {
    int64_t x = 0;
    for (; x + kTileRows <= args.out_w; x += kTileRows) {
      conv_tile<kTileRows, kVectors>(args, rows, y, x, column, columns, panel);
    }
    for (; x + 2 <= args.out_w; x += 2)
      conv_tile<2, kVectors>(args, rows, y, x, column, columns, panel);
    if (x < args.out_w) conv_tile<1, kVectors>(args, rows, y, x, column, columns, panel);
  }
}

// Panels outside, pixels inside, as in pointwise: the panel stays in L2 while the few padded rows
// pass by.
template <class In, class Out>
inline void conv(const ConvArgs<In, Out>& args) {
  assert(
      windows_exist(args.row_begin, args.row_end, args.kh, args.stride, args.padding, args.in_h));
  assert(windows_exist(0, args.out_w, args.kw, args.stride, args.padding, args.in_w));
  assert(args.in_c >= 1 && args.out_c >= 1 && args.in_row_begin >= 0);
  assert(args.in != nullptr && args.packed_w != nullptr && args.out != nullptr);
  assert((args.padding == 0 && sizeof(In) == sizeof(Out)) || args.scratch != nullptr);
  assert(args.ld_out >= args.out_c && (args.residual == nullptr || args.ld_residual >= args.out_c));
  if (args.row_begin == args.row_end) return;
  typename Terms<Out>::Mode mode;
  mode.enter();
  const PaddedRows<Out> rows = padded_rows(args);
  const int64_t k = args.kh * grouped_terms<Out>(args.kw * args.in_c);
  for (int64_t column = 0; column < args.out_c; column += kPanel) {
    const Out* panel = args.packed_w + column * k;
    const int64_t columns = args.out_c - column < kPanel ? args.out_c - column : kPanel;
    const int vectors = static_cast<int>((columns + F32::kLanes - 1) / F32::kLanes);
    if (vectors == kTileVectors) {
      conv_panel_rows<kTileVectors>(args, rows, column, columns, panel);
    } else if (vectors == 1) {
      conv_panel_rows<1>(args, rows, column, columns, panel);
    } else if (vectors == 2) {
      conv_panel_rows<2>(args, rows, column, columns, panel);
    } else {
      conv_panel_rows<3>(args, rows, column, columns, panel);
    }
  }
  mode.leave();
}

}  // namespace
}  // namespace lpn
