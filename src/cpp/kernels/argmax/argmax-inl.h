// The argmax decoder's body, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>

#include "kernels/argmax/argmax.h"
#include "kernels/heatmap-inl.h"

namespace lpn {
namespace {

// The first position that holds `largest`, the maximum of a map without NaN; `count` only when
// another thread overwrote the map meanwhile.
inline int64_t first_position(const float* heatmap, int64_t count, float largest) {
  int64_t i = 0;
  while (i + F32::kLanes <= count && all(greater(set1<F32>(largest), load<F32>(heatmap + i))))
    i += F32::kLanes;
  while (i < count && heatmap[i] != largest) ++i;
  return i;
}

inline void argmax(const ArgmaxArgs& args) {
  assert(args.h >= 1 && args.w >= 1);
  assert(args.heatmap != nullptr && args.coordinates != nullptr && args.score != nullptr);
  const int64_t count = args.h * args.w;
  const HeatmapPeak peak = find_peak(args.heatmap, count);
  if (peak.has_nan) {
    args.coordinates[0] = args.coordinates[1] = NAN;
    *args.score = 0.0f;
    return;
  }
  const int64_t position = peak.largest > 0 ? first_position(args.heatmap, count, peak.largest) : 0;
  args.coordinates[0] = static_cast<float>(position % args.w);
  args.coordinates[1] = static_cast<float>(position / args.w);
  *args.score = peak.largest;
  if (args.quarter_step) quarter_step(args.heatmap, args.h, args.w, args.coordinates);
}

}  // namespace
}  // namespace lpn
