#include "simd/vec_avx512.h"

#include "kernels/conv/conv-inl.h"

namespace lpn {

void conv_f32_avx512(const ConvArgs& args) { conv(args); }

}  // namespace lpn
