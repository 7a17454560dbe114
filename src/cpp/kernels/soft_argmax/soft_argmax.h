// beta-Soft-Argmax of one heatmap (LPN paper, eq. 3).
#pragma once

#include <cstdint>

#include "kernels/variants.h"

namespace lpn {

// p = softmax(beta * (h - max h)) over all positions; (x, y) = sum p * (x, y). Score: the heatmap
// at the coordinates, which are still in double, rounded half to even, taken before the quarter
// step. The quarter step is argmax.h's, at (floor(x + 0.5), floor(y + 0.5)). A map that holds a
// NaN, or whose maximum is not finite, gives NaN coordinates and score 0; -inf elsewhere is a
// position of weight 0.
struct SoftArgmaxArgs {
  const float* heatmap;  // h rows of w floats
  std::int64_t h, w;
  float beta;          // > 0
  bool quarter_step;   // the classic quarter-pixel step, after the score is taken
  float* coordinates;  // x, y in heatmap pixels
  float* score;
};

using SoftArgmaxFn = void (*)(const SoftArgmaxArgs& args);

#define LPN_KERNEL(name, isa) void name(const SoftArgmaxArgs& args);
#include "kernels/soft_argmax/kernels.inc"
#undef LPN_KERNEL

const Variant<SoftArgmaxFn>& select_soft_argmax(Isa isa);

}  // namespace lpn
