#include "simd/vec_scalar.h"

#include "kernels/fma_peak/fma_peak-inl.h"

namespace lpn {

void fma_peak_f32_scalar(const FmaPeakArgs& args) { fma_peak(args); }

}  // namespace lpn
