// The beta-Soft-Argmax decoder's body, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>

#include "kernels/heatmap-inl.h"
#include "kernels/soft_argmax/soft_argmax.h"
#include "simd/exp-inl.h"

namespace lpn {
namespace {

// Weights below e^-32 = 1.3e-14 need not be computed: all positions of a 1024 x 1024 map at that
// weight would move the result by 2e-5 pixels.
constexpr float kNegligibleExponent = -32.0f;

// Rows that are skipped or computed together: their exponentials overlap, and one branch per group
// is predicted better.
constexpr int kRowGroup = 4;

// Rows whose weights one float accumulator takes before it is added to the next level: with two
// levels a column of 128 rows is 16 + 8 roundings deep instead of 128.
constexpr int64_t kRowsPerSum = 16;

// sum p, sum p (x - x0), sum p (y - y0), by lane.
struct Moments {
  F32 weight, x, y;
};

// The map with its maximum, and coordinates counted from its centre (x0, y0), which halves what the
// sums lose and keeps a symmetric map exact.
struct CentredMap {
  const float* heatmap;
  int64_t h, w;
  F32 beta, largest;
  float x0, y0;
};

// Adds kRows rows from `row` of the columns that `read` loads to sum p and sum p (y - y0).
template <int kRows, class Read>
inline void add_rows(const CentredMap& map, const Read& read, int64_t row, F32& weight,
                     F32& weighted_y) {
  F32 exponent[kRows];
  F32 top = set1<F32>(kNegligibleExponent);
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    exponent[r] = mul(map.beta, sub(read(map.heatmap + (row + r) * map.w), map.largest));
    top = max(exponent[r], top);
  }
  if (!any(greater(top, set1<F32>(kNegligibleExponent)))) return;
#pragma GCC unroll 4
  for (int r = 0; r < kRows; ++r) {
    const F32 p = exp_nonpositive(exponent[r]);
    weight = add(weight, p);
    weighted_y = fma(p, set1<F32>(static_cast<float>(row + r) - map.y0), weighted_y);
  }
}

// Adds the whole height of the columns that `read` loads, whose lanes are at x.
template <class Read>
inline void add_columns(const CentredMap& map, const Read& read, F32 x, Moments& sums) {
  for (int64_t begin = 0; begin < map.h; begin += kRowsPerSum) {
    const int64_t end = begin + kRowsPerSum < map.h ? begin + kRowsPerSum : map.h;
    F32 weight = zero<F32>();
    F32 weighted_y = zero<F32>();
    int64_t row = begin;
    for (; row + kRowGroup <= end; row += kRowGroup) {
      add_rows<kRowGroup>(map, read, row, weight, weighted_y);
    }
    for (; row < end; ++row) add_rows<1>(map, read, row, weight, weighted_y);
    sums.weight = add(sums.weight, weight);
    sums.x = fma(weight, x, sums.x);
    sums.y = add(sums.y, weighted_y);
  }
}

// NaN, which only a map that another thread changed meanwhile can give, becomes 0. In double:
// beyond 2^24 a float cannot hold every position, and might be rounded up to one outside the map.
inline double clamp(double value, int64_t size) {
  const double last = static_cast<double>(size - 1);
  return value > 0 ? (value < last ? value : last) : 0;
}

inline void soft_argmax(const SoftArgmaxArgs& args) {
  assert(args.h >= 1 && args.w >= 1 && args.beta > 0 && args.beta < INFINITY);
  assert(args.heatmap != nullptr && args.coordinates != nullptr && args.score != nullptr);
  const HeatmapPeak peak = find_peak(args.heatmap, args.h * args.w);
  if (peak.has_nan || peak.largest == INFINITY || peak.largest == -INFINITY) {
    args.coordinates[0] = args.coordinates[1] = NAN;
    *args.score = 0.0f;
    return;
  }
  const CentredMap map = {args.heatmap,
                          args.h,
                          args.w,
                          set1<F32>(args.beta),
                          set1<F32>(peak.largest),
                          0.5f * static_cast<float>(args.w - 1),
                          0.5f * static_cast<float>(args.h - 1)};
  Moments sums = {zero<F32>(), zero<F32>(), zero<F32>()};
  for (int64_t column = 0; column < args.w; column += F32::kLanes) {
    const F32 x = add(iota<F32>(), set1<F32>(static_cast<float>(column) - map.x0));
    if (column + F32::kLanes <= args.w) {
      const auto read = [column](const float* p) { return load<F32>(p + column); };
      add_columns(map, read, x, sums);
    } else {
      const int n = static_cast<int>(args.w - column);
      const F32::Mask inside = greater(set1<F32>(static_cast<float>(n)), iota<F32>());
      const auto read = [column, n, inside](const float* p) {
        return select(inside, load_n<F32>(p + column, n), set1<F32>(-INFINITY));
      };
      add_columns(map, read, x, sums);
    }
  }
  const double weight = static_cast<double>(reduce_add(sums.weight));
  const double mean_x = static_cast<double>(reduce_add(sums.x)) / weight;
  const double mean_y = static_cast<double>(reduce_add(sums.y)) / weight;
  const double x = clamp(mean_x + static_cast<double>(map.x0), args.w);
  const double y = clamp(mean_y + static_cast<double>(map.y0), args.h);
  args.coordinates[0] = static_cast<float>(x);
  args.coordinates[1] = static_cast<float>(y);
  const int64_t column = static_cast<int64_t>(nearbyint(x));
  const int64_t row = static_cast<int64_t>(nearbyint(y));
  *args.score = args.heatmap[row * args.w + column];
  if (args.quarter_step) quarter_step(args.heatmap, args.h, args.w, args.coordinates);
}

}  // namespace
}  // namespace lpn
