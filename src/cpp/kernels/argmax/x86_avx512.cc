#include "simd/vec_avx512.h"

#include "kernels/argmax/argmax-inl.h"

namespace lpn {

void argmax_f32_avx512(const ArgmaxArgs& args) { argmax(args); }

}  // namespace lpn
