#include "simd/vec_avx512.h"

#include "kernels/matmul/matmul-inl.h"

namespace lpn {

void matmul_f64_avx512(const MatmulArgs& args) { matmul(args); }

}  // namespace lpn
