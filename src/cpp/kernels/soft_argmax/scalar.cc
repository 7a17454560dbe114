#include "simd/vec_scalar.h"

#include "kernels/soft_argmax/soft_argmax-inl.h"

namespace lpn {

void soft_argmax_f32_scalar(const SoftArgmaxArgs& args) { soft_argmax(args); }

}  // namespace lpn
