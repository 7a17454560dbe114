#include "pose/decoder.h"

#include <cassert>
#include <cmath>

#include "kernels/argmax/argmax.h"
#include "kernels/soft_argmax/soft_argmax.h"

namespace lpn {

HeatmapDecoder make_decoder(Isa isa, std::int64_t h, std::int64_t w, const DecodeOptions& options) {
  const bool quarter_step = options.quarter_step;
  if (!options.beta) {
    const ArgmaxFn run = select_argmax(isa).run;
    return [=](const float* heatmap, float* coordinates, float* score) {
      run(ArgmaxArgs{heatmap, h, w, quarter_step, coordinates, score});
    };
  }
  const float beta = *options.beta;
  assert(std::isfinite(beta) && beta > 0);
  const SoftArgmaxFn run = select_soft_argmax(isa).run;
  return [=](const float* heatmap, float* coordinates, float* score) {
    run(SoftArgmaxArgs{heatmap, h, w, beta, quarter_step, coordinates, score});
  };
}

}  // namespace lpn
