#include "simd/vec_avx512.h"

#include "kernels/fma_peak/fma_peak-inl.h"

namespace lpn {

void fma_peak_f32_avx512(const FmaPeakArgs& args) { fma_peak(args); }

}  // namespace lpn
