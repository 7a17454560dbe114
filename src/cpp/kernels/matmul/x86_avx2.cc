#include "simd/vec_avx2.h"

#include "kernels/matmul/matmul-inl.h"

namespace lpn {

void matmul_f64_avx2(const MatmulArgs& args) { matmul(args); }

}  // namespace lpn
