// What the two heatmap decoders share. Include after a vec_*.h.
#pragma once

#include <math.h>
#include <stdint.h>

namespace lpn {
namespace {

// The largest of the values that are not NaN (-inf when there is none), and whether there is a NaN.
struct HeatmapPeak {
  float largest;
  bool has_nan;
};

inline HeatmapPeak find_peak(const float* heatmap, int64_t count) {
  constexpr int kChains = 4;  // max has a latency of 4 cycles, and one or two start in each
  F32 best[kChains];
  F32::Mask nan[kChains];
  for (int v = 0; v < kChains; ++v) {
    best[v] = set1<F32>(-INFINITY);
    nan[v] = mask_none<F32>();
  }
  int64_t i = 0;
  for (; i + kChains * F32::kLanes <= count; i += kChains * F32::kLanes) {
#pragma GCC unroll 4
    for (int v = 0; v < kChains; ++v) {
      const F32 value = load<F32>(heatmap + i + v * F32::kLanes);
      best[v] = max(value, best[v]);
      nan[v] = mask_or(nan[v], is_nan(value));
    }
  }
  HeatmapPeak peak;
  peak.largest = reduce_max(max(max(best[0], best[1]), max(best[2], best[3])));
  peak.has_nan = any(mask_or(mask_or(nan[0], nan[1]), mask_or(nan[2], nan[3])));
  for (; i < count; ++i) {
    peak.largest = heatmap[i] > peak.largest ? heatmap[i] : peak.largest;
    peak.has_nan = peak.has_nan || heatmap[i] != heatmap[i];
  }
  return peak;
}

inline float quarter_of_sign(float difference) {
  return difference > 0 ? 0.25f : difference < 0 ? -0.25f : 0.0f;
}

// The classic quarter-pixel step towards the larger neighbour, at (floor(x + 0.5), floor(y + 0.5)).
inline void quarter_step(const float* heatmap, int64_t h, int64_t w, float* coordinates) {
  const int64_t x = static_cast<int64_t>(floor(static_cast<double>(coordinates[0]) + 0.5));
  const int64_t y = static_cast<int64_t>(floor(static_cast<double>(coordinates[1]) + 0.5));
  if (x <= 1 || x >= w - 1 || y <= 1 || y >= h - 1) return;
  const float* centre = heatmap + y * w + x;
  coordinates[0] += quarter_of_sign(centre[1] - centre[-1]);
  coordinates[1] += quarter_of_sign(centre[w] - centre[-w]);
}

}  // namespace
}  // namespace lpn
