// Classic decode of one heatmap: the position of its maximum.
#pragma once

#include <cstdint>

#include "kernels/variants.h"

namespace lpn {

// (x, y) of the first maximum in row order, score its value; (0, 0) when the maximum is <= 0. With
// the quarter step, x moves 0.25 * sign(h[y, x + 1] - h[y, x - 1]) when 1 < x < w - 1 and 1 < y < h
// - 1 (of the rounded position), y likewise. A map that holds a NaN gives NaN coordinates and score
// 0.
struct ArgmaxArgs {
  const float* heatmap;  // h rows of w floats
  std::int64_t h, w;
  bool quarter_step;   // the classic quarter-pixel step
  float* coordinates;  // x, y in heatmap pixels
  float* score;
};

using ArgmaxFn = void (*)(const ArgmaxArgs& args);

#define LPN_KERNEL(name, isa) void name(const ArgmaxArgs& args);
#include "kernels/argmax/kernels.inc"
#undef LPN_KERNEL

const Variant<ArgmaxFn>& select_argmax(Isa isa);

}  // namespace lpn
