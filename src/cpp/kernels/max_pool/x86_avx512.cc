#include "simd/vec_avx512.h"

#include "kernels/max_pool/max_pool-inl.h"

namespace lpn {

void max_pool_f32_avx512(const MaxPoolArgs& args) { max_pool(args); }

}  // namespace lpn
