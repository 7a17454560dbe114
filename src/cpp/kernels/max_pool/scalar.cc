#include "simd/vec_scalar.h"

#include "kernels/max_pool/max_pool-inl.h"

namespace lpn {

void max_pool_f32_scalar(const MaxPoolArgs<float>& args) { max_pool(args); }
void max_pool_bf16_scalar(const MaxPoolArgs<Bfloat16>& args) { max_pool(args); }
void max_pool_u8_scalar(const MaxPoolArgs<std::uint8_t>& args) { max_pool(args); }

}  // namespace lpn
