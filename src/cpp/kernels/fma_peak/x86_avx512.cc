#include "simd/vec_avx512.h"

#include "kernels/fma_peak/fma_peak-inl.h"

namespace lpn {

void fma_peak_f32_avx512(const FmaPeakArgs<float>& args) { fma_peak(args); }
void fma_peak_bf16_avx512(const FmaPeakArgs<Bfloat16>& args) { fma_peak(args); }
void fma_peak_u8_avx512(const FmaPeakArgs<uint8_t>& args) { fma_peak(args); }

}  // namespace lpn
