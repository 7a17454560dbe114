// A photograph and its people's boxes to their joints, through a model.
#pragma once

#include <cstdint>
#include <functional>

#include "engine/run/compiled_model.h"
#include "pose/crop.h"
#include "pose/decoder.h"
#include "pose/image.h"

namespace lpn {

// The flip test: heatmaps averaged with those of the mirrored crop, see FlipTest of heatmaps.h.
struct FlipOptions {
  const int* mirror_index;  // k joints, each below k
  std::int64_t shift;       // 0 <= shift < the heatmaps' width
};

struct EstimateOptions {
  double padding;  // above 0, see grow_box
  Normalisation normalisation;
  DecodeOptions decode;
  const FlipOptions* flip = nullptr;  // null for none
};

// boxes (n, 4): corner x, y and size, finite and small enough for a crop's coordinates to be;
// coordinates (n, k, 2) in the image's pixels and scores (n, k), where `plan`, of `model`, takes 3
// channels and gives maps (h, w, k). A crowd is run in parts, which bounds its memory and does not
// show in the result. `stop` may be given, see Batch. Returns whether the work came to its end;
// else the results hold anything.
bool estimate_poses(CompiledModel& model, PreparedPlan& plan, const Image& image,
                    const double* boxes, std::int64_t n, const EstimateOptions& options,
                    float* coordinates, float* scores, const std::function<bool()>& stop = {});

}  // namespace lpn
