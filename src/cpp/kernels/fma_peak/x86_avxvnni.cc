#include "simd/vec_avx2.h"

#include "kernels/fma_peak/fma_peak-inl.h"

namespace lpn {

void fma_peak_u8_avxvnni(const FmaPeakArgs<uint8_t>& args) { fma_peak(args); }

}  // namespace lpn
