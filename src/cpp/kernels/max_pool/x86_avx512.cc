#include "simd/vec_avx512.h"

#include "kernels/max_pool/max_pool-inl.h"

namespace lpn {

void max_pool_f32_avx512(const MaxPoolArgs<float>& args) { max_pool(args); }
void max_pool_bf16_avx512(const MaxPoolArgs<Bfloat16>& args) { max_pool(args); }
void max_pool_u8_avx512(const MaxPoolArgs<std::uint8_t>& args) { max_pool(args); }

}  // namespace lpn
