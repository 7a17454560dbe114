#include "simd/vec_avx512.h"

#include "kernels/max_pool/max_pool-inl.h"

namespace lpn {

void max_pool_bf16_avx512bf16(const MaxPoolArgs<Bfloat16>& args) { max_pool(args); }

}  // namespace lpn
