#include "simd/vec_scalar.h"

#include "kernels/matmul/matmul-inl.h"

namespace lpn {

void matmul_f64_scalar(const MatmulArgs& args) { matmul(args); }

}  // namespace lpn
