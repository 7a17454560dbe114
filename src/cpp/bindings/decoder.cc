#include "bindings/decoder.h"

#include <cmath>

#include "base/check.h"
#include "kernels/argmax/argmax.h"
#include "kernels/soft_argmax/soft_argmax.h"

namespace lpn::bindings {

HeatmapDecoder make_decoder(Isa isa, const Heatmaps& maps, std::optional<double> beta,
                            bool quarter_step) {
  const std::int64_t h = maps.h;
  const std::int64_t w = maps.w;
  if (!beta) {
    const ArgmaxFn run = select_argmax(isa).run;
    return [=](const float* heatmap, float* coordinates, float* score) {
      run(ArgmaxArgs{heatmap, h, w, quarter_step, coordinates, score});
    };
  }
  const auto sharpness = static_cast<float>(*beta);
  LPN_CHECK(std::isfinite(sharpness) && sharpness > 0, "beta is ", *beta,
            "; it must be finite and greater than 0");
  const SoftArgmaxFn run = select_soft_argmax(isa).run;
  return [=](const float* heatmap, float* coordinates, float* score) {
    run(SoftArgmaxArgs{heatmap, h, w, sharpness, quarter_step, coordinates, score});
  };
}

}  // namespace lpn::bindings
