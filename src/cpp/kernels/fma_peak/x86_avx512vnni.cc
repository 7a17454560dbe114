#include "simd/vec_avx512.h"

#include "kernels/fma_peak/fma_peak-inl.h"

namespace lpn {

void fma_peak_u8_avx512vnni(const FmaPeakArgs<uint8_t>& args) { fma_peak(args); }

}  // namespace lpn
