#include "simd/vec_avx2.h"

#include "kernels/argmax/argmax-inl.h"

namespace lpn {

void argmax_f32_avx2(const ArgmaxArgs& args) { argmax(args); }

}  // namespace lpn
