#include "simd/vec_avx2.h"

#include "kernels/fma_peak/fma_peak-inl.h"

namespace lpn {

void fma_peak_f32_avx2(const FmaPeakArgs<float>& args) { fma_peak(args); }
void fma_peak_bf16_avx2(const FmaPeakArgs<Bfloat16>& args) { fma_peak(args); }
void fma_peak_u8_avx2(const FmaPeakArgs<uint8_t>& args) { fma_peak(args); }

}  // namespace lpn
