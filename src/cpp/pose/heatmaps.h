// The heatmaps of a batch to coordinates and scores.
#pragma once

#include <cstdint>

#include "base/isa.h"
#include "base/thread_pool.h"
#include "pose/decoder.h"

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

// coordinates (n, k, 2) in heatmap pixels and scores (n, k). `flip` may be null; it needs
// channels_last. Which thread decodes a map does not show in the result.
void decode_heatmaps(const Heatmaps& maps, const FlipTest* flip, const DecodeOptions& options,
                     Isa isa, ThreadPool& pool, float* coordinates, float* scores);

}  // namespace lpn
