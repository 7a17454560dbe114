#include "simd/vec_scalar.h"

#include "kernels/fma_peak/fma_peak-inl.h"

namespace lpn {

void fma_peak_f32_scalar(const FmaPeakArgs<float>& args) { fma_peak(args); }
void fma_peak_bf16_scalar(const FmaPeakArgs<Bfloat16>& args) { fma_peak(args); }
void fma_peak_u8_scalar(const FmaPeakArgs<uint8_t>& args) { fma_peak(args); }

}  // namespace lpn
