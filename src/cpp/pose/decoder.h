// How a heatmap becomes coordinates.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>

#include "base/isa.h"

namespace lpn {

struct DecodeOptions {
  std::optional<float> beta;  // of the soft-argmax, finite and above 0; without, the argmax
  bool quarter_step;          // the classic quarter-pixel step
};

// Decodes one map of h rows of w floats.
using HeatmapDecoder = std::function<void(const float* heatmap, float* coordinates, float* score)>;

// The kernel of an ISA for maps of this size.
HeatmapDecoder make_decoder(Isa isa, std::int64_t h, std::int64_t w, const DecodeOptions& options);

}  // namespace lpn
