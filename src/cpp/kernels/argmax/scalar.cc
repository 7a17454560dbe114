#include "simd/vec_scalar.h"

#include "kernels/argmax/argmax-inl.h"

namespace lpn {

void argmax_f32_scalar(const ArgmaxArgs& args) { argmax(args); }

}  // namespace lpn
