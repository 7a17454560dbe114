#include "simd/vec_avx2.h"

#include "kernels/conv/conv-inl.h"

namespace lpn {

void conv_f32_avx2(const ConvArgs& args) { conv(args); }

}  // namespace lpn
