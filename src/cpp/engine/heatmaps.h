// The heatmaps of a batch, handed to a decoder one by one.
#pragma once

#include <cstdint>
#include <functional>

#include "base/thread_pool.h"

namespace lpn {

// n images of k maps, h x w each.
struct Heatmaps {
  const float* data;
  bool channels_last;  // (n, h, w, k), else (n, k, h, w)
  std::int64_t n, k, h, w;
};

// What the flip test averages the heatmaps with: those of the mirrored crops, mirrored back, joint
// c taken from joint mirror_index[c] and moved `shift` columns to the right, the first `shift`
// columns kept.
struct FlipTest {
  const float* mirrored;  // (n, h, w, k)
  const int* mirror_index;
  std::int64_t shift;  // 0 <= shift < w
};

// Decodes one map of h rows of w floats.
using HeatmapDecoder = std::function<void(const float* heatmap, float* coordinates, float* score)>;

// coordinates (n, k, 2) and scores (n, k). `flip` may be null; it needs channels_last. Which thread
// decodes a map does not show in the result.
void decode_heatmaps(const Heatmaps& maps, const FlipTest* flip, ThreadPool& pool,
                     const HeatmapDecoder& decode, float* coordinates, float* scores);

}  // namespace lpn
