#include "simd/vec_avx512.h"

#include "kernels/soft_argmax/soft_argmax-inl.h"

namespace lpn {

void soft_argmax_f32_avx512(const SoftArgmaxArgs& args) { soft_argmax(args); }

}  // namespace lpn
