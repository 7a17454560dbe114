// The grouped transposed convolution's body, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>

#include "kernels/channels-inl.h"
#include "kernels/gemm_tile-inl.h"
#include "kernels/group_deconv/group_deconv.h"
#include "kernels/group_deconv/phases-inl.h"

namespace lpn {
namespace {

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
  const InputRows rows = rows_read(args);
  if (rows.begin >= rows.end) return {args.scratch, 0};
  const T* in = args.in + (rows.begin - args.in_row_begin) * args.in_w * args.in_c;
  float* out = args.scratch;
  for (int64_t pixel = rows.begin * args.in_w; pixel < rows.end * args.in_w;
       ++pixel, in += args.in_c, out += args.in_c) {
    copy(in, out);
  }
  return {args.scratch, rows.begin};
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
  check_group_deconv(args);
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
