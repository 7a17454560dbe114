#include "simd/vec_avx2.h"

#include "kernels/gc_pool/gc_pool-inl.h"

namespace lpn {

void gc_pool_f32_avx2(const GcPoolArgs<float>& args) { gc_pool(args); }
void gc_pool_bf16_avx2(const GcPoolArgs<Bfloat16>& args) { gc_pool(args); }
void gc_pool_u8_avx2(const GcPoolArgs<std::uint8_t>& args) { gc_pool(args); }
void gc_transform_f32_avx2(const GcTransformArgs& args) { gc_transform(args); }

}  // namespace lpn
