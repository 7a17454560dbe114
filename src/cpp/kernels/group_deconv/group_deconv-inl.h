// The grouped transposed convolution's body, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>

#include "kernels/channels-inl.h"
#include "kernels/gemm_tile-inl.h"
#include "kernels/group_deconv/group_deconv.h"

namespace lpn {
namespace {

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

// Input rows as floats, with the channels of a pixel ordered [c][group] where each group has one
// output; row u is at (u - begin) * in_w * in_c.
struct FloatRows {
  const float* data;
  int64_t begin;
};

inline void copy_floats(const Bfloat16* in, int64_t count, float* out) {
  for_each_channels(count,
                    [=](auto lanes, int64_t c) { lanes.write(out + c, lanes.read(in + c)); });
}

template <class T>
inline void deinterleave_groups(const T* in, int64_t groups, int64_t group_inputs, float* out) {
  int64_t g = 0;
  if (group_inputs == 2) {
    for (; g + F32::kLanes <= groups; g += F32::kLanes) {
      F32 first, second;
      load_deinterleave2(in + 2 * g, first, second);
      store(out + g, first);
      store(out + groups + g, second);
    }
  }
  for (; g < groups; ++g) {
    for (int64_t c = 0; c < group_inputs; ++c)
      out[c * groups + g] = widen(in[g * group_inputs + c]);
  }
}

// Calls copy(pixel, floats) for what this call reads.
template <class T, class Copy>
inline FloatRows copy_rows(const GroupDeconvArgs<T>& args, const Copy& copy) {
  const int64_t lowest = args.row_begin + args.padding - args.kh + 1;
  const int64_t begin = lowest > 0 ? (lowest + args.stride - 1) / args.stride : 0;
  const int64_t last = (args.row_end - 1 + args.padding) / args.stride;
  const int64_t end = last < args.in_h ? last + 1 : args.in_h;
  if (begin >= end) return {args.scratch, 0};  // no row is read
  const T* in = args.in + (begin - args.in_row_begin) * args.in_w * args.in_c;
  float* out = args.scratch;
  for (int64_t pixel = begin * args.in_w; pixel < end * args.in_w;
       ++pixel, in += args.in_c, out += args.in_c) {
    copy(in, out);
  }
  return {args.scratch, begin};
}

// The rows this call reads, each rearranged or widened once; floats in order stay where they lie.
inline FloatRows float_rows(const GroupDeconvArgs<float>& args) {
  const int64_t group_inputs = args.in_c / args.groups;
  if (group_inputs == 1 || args.out_c != args.groups) return {args.in, args.in_row_begin};
  return copy_rows(args, [&](const float* in, float* out) {
    deinterleave_groups(in, args.groups, group_inputs, out);
  });
}
inline FloatRows float_rows(const GroupDeconvArgs<Bfloat16>& args) {
  const int64_t group_inputs = args.in_c / args.groups;
  const bool in_order = group_inputs == 1 || args.out_c != args.groups;
  return copy_rows(args, [&](const Bfloat16* in, float* out) {
    if (in_order) {
      copy_floats(in, args.in_c, out);
    } else {
      deinterleave_groups(in, args.groups, group_inputs, out);
    }
  });
}

// One output per group: lanes are groups. kInputs is the inputs per group, 0 where they are too
// many to unroll.
template <class T, int kInputs>
struct GroupTile {
  // Four pixels share a weight, and neighbouring ones the columns they overlap in.
  static constexpr int kPixels = 4;

  const GroupDeconvArgs<T>& args;
  FloatRows in;

  // kTaps is the count of taps in both directions, or 0 for any: at 2 (kernels 3 and 4 at stride 2,
  // away from the border) everything unrolls and the two taps of a row read the same registers.
  template <int kCount, int kTaps>
  void pixels_of(const Taps& rows, const Taps& columns, T* out) const {
    const int64_t c = args.in_c;
    const int64_t inputs = kInputs > 0 ? kInputs : c / args.groups;
    const int64_t row_taps = kTaps > 0 ? kTaps : rows.count;
    const int64_t column_taps = kTaps > 0 ? kTaps : columns.count;
    const int64_t in_row = args.in_w * c;
    const int64_t w_column = args.stride * c;
    const int64_t w_row = w_column * args.kw;
    const int64_t groups = args.groups;
    const int64_t out_step = args.stride * args.out_c;
    const float* a = in.data;
    if (rows.count > 0) a += (rows.input - in.begin) * in_row + columns.input * c;
    const float* w = args.packed_w + (rows.weight * args.kw + columns.weight) * c;
    const Epilogue epilogue = {args.bias, nullptr, args.activation};

    // Two vectors of groups at a time make eight chains, the latency (4) x throughput (2) of fma.
    for_each_channel_group<2>(groups, [&](auto lanes, auto group, int64_t g) LPN_INLINE_BODY {
      constexpr int kVectors = group.kVectors;
      F32 acc[kVectors][kCount];
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 8
        for (int t = 0; t < kCount; ++t) acc[v][t] = zero<F32>();
      }
#pragma GCC unroll 2
      for (int64_t i = 0; i < row_taps; ++i) {
#pragma GCC unroll 2
        for (int64_t j = 0; j < column_taps; ++j) {
#pragma GCC unroll 2
          for (int64_t k = 0; k < inputs; ++k) {
#pragma GCC unroll 2
            for (int v = 0; v < kVectors; ++v) {
              const int64_t at = k * groups + g + v * F32::kLanes;
              const F32 weight = lanes.read(w + i * w_row + j * w_column + at);
              const float* first = a - i * in_row - j * c + at;
#pragma GCC unroll 8
              for (int t = 0; t < kCount; ++t) {
                acc[v][t] = fma(lanes.read(first + t * c), weight, acc[v][t]);
              }
            }
          }
        }
      }
#pragma GCC unroll 2
      for (int v = 0; v < kVectors; ++v) {
#pragma GCC unroll 8
        for (int t = 0; t < kCount; ++t) {
          const T* const no_residual = nullptr;
          finish<lanes.kPartial>(acc[v][t], epilogue, g + v * F32::kLanes, no_residual,
                                 out + t * out_step, lanes.count());
        }
      }
    });
  }

  template <int kCount>
  void pixels(const Taps& rows, const Taps& columns, T* out) const {
    if (rows.count == 2 && columns.count == 2) {
      pixels_of<kCount, 2>(rows, columns, out);
    } else {
      pixels_of<kCount, 0>(rows, columns, out);
    }
  }
};

// Several outputs per group: one panel of one group's outputs, each tap a small matrix product.
template <class T, int kVectors>
struct PanelTile {
  static constexpr int kPixels = kTileRows;

  const GroupDeconvArgs<T>& args;
  FloatRows in;        // from the group's first channel on
  const float* panel;  // [kh][kw][group_inputs][kPanel]
  int64_t column, columns;

  template <int kCount>
  void pixels(const Taps& tap_rows, const Taps& tap_columns, T* out) const {
    const int64_t group_inputs = args.in_c / args.groups;
    F32 acc[kCount][kVectors];
    clear(acc);
    for (int64_t i = 0; i < tap_rows.count; ++i) {
      const int64_t in_row = (tap_rows.input - i - in.begin) * args.in_w;
      const int64_t w_row = (tap_rows.weight + i * args.stride) * args.kw;
      for (int64_t j = 0; j < tap_columns.count; ++j) {
        const int64_t pixel = in_row + tap_columns.input - j;
        const int64_t tap = w_row + tap_columns.weight + j * args.stride;
        accumulate(acc, in.data + pixel * args.in_c, args.in_c, panel + tap * group_inputs * kPanel,
                   group_inputs, NothingAhead{});
      }
    }
    const T* const no_residual = nullptr;
    store_tile(acc, Epilogue{args.bias, nullptr, args.activation}, column, columns, no_residual, 0,
               out, args.stride * args.out_c);
  }
};

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

template <class T>
inline void group_deconv_panels(const GroupDeconvArgs<T>& args, const FloatRows& rows) {
  const int64_t group_inputs = args.in_c / args.groups;
  const int64_t group_outputs = args.out_c / args.groups;
  const int64_t panel_size = args.kh * args.kw * group_inputs * kPanel;
  const float* panel = args.packed_w;
  for (int64_t g = 0; g < args.groups; ++g) {
    const FloatRows in = {rows.data + g * group_inputs, rows.begin};
    for (int64_t o = 0; o < group_outputs; o += kPanel, panel += panel_size) {
      const int64_t columns = group_outputs - o < kPanel ? group_outputs - o : kPanel;
      const int64_t column = g * group_outputs + o;
      const int vectors = static_cast<int>((columns + F32::kLanes - 1) / F32::kLanes);
      if (vectors == kTileVectors) {
        deconv_rows(args, PanelTile<T, kTileVectors>{args, in, panel, column, columns});
      } else if (vectors == 1) {
        deconv_rows(args, PanelTile<T, 1>{args, in, panel, column, columns});
      } else if (vectors == 2) {
        deconv_rows(args, PanelTile<T, 2>{args, in, panel, column, columns});
      } else {
        deconv_rows(args, PanelTile<T, 3>{args, in, panel, column, columns});
      }
    }
  }
}

template <class T>
inline void group_deconv(const GroupDeconvArgs<T>& args) {
  // A transposed convolution is the sliding window with input and output exchanged.
  assert(args.in_h >= 1 && args.in_w >= 1 && args.kh >= 1 && args.kw >= 1);
  assert(args.stride >= 1 && args.padding >= 0 && args.in_row_begin >= 0);
  assert(0 <= args.row_begin && args.row_begin <= args.row_end);
  assert(args.row_end + 2 * args.padding <= (args.in_h - 1) * args.stride + args.kh);
  assert(args.out_w + 2 * args.padding <= (args.in_w - 1) * args.stride + args.kw);
  assert(args.groups >= 1 && args.in_c % args.groups == 0 && args.out_c % args.groups == 0);
  assert(args.in != nullptr && args.packed_w != nullptr && args.out != nullptr);
  const FloatRows in = float_rows(args);
  assert(in.data != nullptr);
  if (args.out_c != args.groups) return group_deconv_panels(args, in);
  switch (args.in_c / args.groups) {
    case 1:
      return deconv_rows(args, GroupTile<T, 1>{args, in});
    case 2:
      return deconv_rows(args, GroupTile<T, 2>{args, in});
    default:
      return deconv_rows(args, GroupTile<T, 0>{args, in});
  }
}

}  // namespace
}  // namespace lpn
