// How a transposed convolution goes over its output: by phases, whose pixels share their weights.
// Include after a vec_*.h.
#pragma once

#include <assert.h>
#include <stdint.h>

#include "kernels/group_deconv/group_deconv.h"

namespace lpn {
namespace {

template <class T>
inline void check_group_deconv(const GroupDeconvArgs<T>& args) {
  // A transposed convolution is the sliding window with input and output exchanged.
  assert(args.in_h >= 1 && args.in_w >= 1 && args.kh >= 1 && args.kw >= 1);
  assert(args.stride >= 1 && args.padding >= 0 && args.in_row_begin >= 0);
  assert(0 <= args.row_begin && args.row_begin <= args.row_end);
  assert(args.row_end + 2 * args.padding <= (args.in_h - 1) * args.stride + args.kh);
  assert(args.out_w + 2 * args.padding <= (args.in_w - 1) * args.stride + args.kw);
  assert(args.groups >= 1 && args.in_c % args.groups == 0 && args.out_c % args.groups == 0);
  assert(args.in != nullptr && args.packed_w != nullptr && args.out != nullptr);
  static_cast<void>(args);
}

// The rows of the input that a call reads: none where begin >= end.
struct InputRows {
  int64_t begin, end;
};

template <class T>
inline InputRows rows_read(const GroupDeconvArgs<T>& args) {
  const int64_t lowest = args.row_begin + args.padding - args.kh + 1;
  const int64_t begin = lowest > 0 ? (lowest + args.stride - 1) / args.stride : 0;
  const int64_t last = (args.row_end - 1 + args.padding) / args.stride;
  return {begin, last < args.in_h ? last + 1 : args.in_h};
}

// The taps that hit one output coordinate, inside the map: tap b reads input `input - b` with
// weight `weight + b * stride`. Outputs that are `stride` apart share their weights and read
// neighbouring inputs. All zero when there is none.
struct Taps {
  int64_t weight, input, count;
};

inline Taps taps_at(int64_t position, int64_t extent, int64_t kernel, int64_t stride) {
  const int64_t phase = position % stride;
  const int64_t input = position / stride;
  const int64_t phase_taps = phase < kernel ? (kernel - phase + stride - 1) / stride : 0;
  const int64_t begin = input >= extent ? input - extent + 1 : 0;
  const int64_t end = input + 1 < phase_taps ? input + 1 : phase_taps;
  return begin < end ? Taps{phase + begin * stride, input - begin, end - begin} : Taps{0, 0, 0};
}

// The pixels first + i * stride of one output row for i in [begin, end): those whose taps are all
// inside the map in tiles, the others one by one.
template <class T, class Tile>
inline void deconv_phase(const GroupDeconvArgs<T>& args, const Tile& tile, const Taps& rows,
                         int64_t first, int64_t begin, int64_t end, T* out_row) {
  const int64_t s = args.stride;
  const int64_t phase = (first + args.padding) % s;
  const int64_t phase_taps = phase < args.kw ? (args.kw - phase + s - 1) / s : 0;
  const int64_t offset = (first + args.padding) / s;  // input column of pixel 0's first tap
  const int64_t inside_end = args.in_w - offset < end ? args.in_w - offset : end;
  int64_t i = begin;
  while (i < end) {
    const int64_t x = first + i * s;
    const Taps columns = taps_at(x + args.padding, args.in_w, args.kw, s);
    T* out = out_row + x * args.out_c;
    const bool inside = offset + i + 1 >= phase_taps;
    if (inside && i + Tile::kPixels <= inside_end) {
      tile.template pixels<Tile::kPixels>(rows, columns, out);
      i += Tile::kPixels;
    } else if (inside && i + 2 <= inside_end) {
      tile.template pixels<2>(rows, columns, out);
      i += 2;
    } else {
      tile.template pixels<1>(rows, columns, out);
      i += 1;
    }
  }
}

// Every output pixel once. Blocks of a tile's width outside and phases inside, since the phases of
// a block read the same input; the first block is the pixels that have taps left of the map, so
// that tiles start behind them in every phase.
template <class T, class Tile>
inline void deconv_rows(const GroupDeconvArgs<T>& args, const Tile& tile) {
  const int64_t s = args.stride;
  const int64_t left_of_map = args.kw - args.padding - s;
  const int64_t lead = left_of_map > 0 ? (left_of_map + s - 1) / s : 0;
  for (int64_t y = args.row_begin; y < args.row_end; ++y) {
    const Taps rows = taps_at(y + args.padding, args.in_h, args.kh, s);
    T* out_row = args.out + (y - args.row_begin) * args.out_w * args.out_c;
    int64_t end = lead > 0 ? lead : Tile::kPixels;
    for (int64_t begin = 0; begin * s < args.out_w; begin = end, end += Tile::kPixels) {
      // A stride beyond the map leaves most of its phases without a pixel.
      const int64_t left = args.out_w - begin * s;
      const int64_t phases = left < s ? left : s;
      for (int64_t first = 0; first < phases; ++first) {
        const int64_t count = (args.out_w - first + s - 1) / s;  // pixels of this phase
        deconv_phase(args, tile, rows, first, begin, end < count ? end : count, out_row);
      }
    }
  }
}

}  // namespace
}  // namespace lpn
