// The input of a depthwise convolution of bytes, transposed four rows at a time. Include after a
// vec_*.h.
#pragma once

#include <stdint.h>

#include "kernels/channels-inl.h"
#include "kernels/depthwise/depthwise.h"
#include "kernels/quads-inl.h"

namespace lpn {
namespace {

// Four rows of the input of one block of channels, where `in` counts them from, and where outside
// the map, padding.
struct QuadRows {
  const uint8_t* row[kQuadTerms];
  int64_t step[kQuadTerms];  // from pixel to pixel
};

// The rows of a window whose first is `first` and that needs `count` of them.
inline QuadRows quad_rows(const DepthwiseArgs<uint8_t>& args, int64_t first, int64_t count,
                          int64_t at, const uint8_t* padding) {
  QuadRows rows;
  for (int64_t t = 0; t < kQuadTerms; ++t) {
    const int64_t y = first + t;
    const bool inside = t < count && y >= 0 && y < args.in_h;
    rows.row[t] = inside ? args.in + (y - args.in_row_begin) * args.in_w * args.c + at : padding;
    rows.step[t] = inside ? args.c : 0;
  }
  return rows;
}

// Columns [x, x + count) of four rows, all inside the map.
template <class Lanes>
LPN_INLINE_BODY inline void quad_columns(const Lanes& lanes, const QuadRows& rows, int64_t x,
                                         int64_t count, QuadColumn* to) {
  const uint8_t* a = rows.row[0] + x * rows.step[0];
  const uint8_t* b = rows.row[1] + x * rows.step[1];
  const uint8_t* c = rows.row[2] + x * rows.step[2];
  const uint8_t* d = rows.row[3] + x * rows.step[3];
  const int64_t a_step = rows.step[0], b_step = rows.step[1];
  const int64_t c_step = rows.step[2], d_step = rows.step[3];
  for (QuadColumn* const end = to + count; to < end; ++to) {
    transpose4(lanes.read(a), lanes.read(b), lanes.read(c), lanes.read(d), to->part);
    a += a_step;
    b += b_step;
    c += c_step;
    d += d_step;
  }
}
// The same of the first `n` channels.
LPN_NOT_INLINE inline void quad_columns(const QuadRows& rows, int64_t x, int64_t count, int n,
                                        QuadColumn* to) {
  if (n == U8::kLanes) {
    quad_columns(AllBytes{}, rows, x, count, to);
  } else {
    quad_columns(FirstBytes{n}, rows, x, count, to);
  }
}

}  // namespace
}  // namespace lpn
