#include "simd/vec_scalar.h"

#include "kernels/conv/conv-inl.h"

namespace lpn {

void conv_f32_scalar(const ConvArgs& args) { conv(args); }

}  // namespace lpn
