#include "simd/vec_scalar.h"

#include "kernels/max_pool/max_pool-inl.h"

namespace lpn {

void max_pool_f32_scalar(const MaxPoolArgs& args) { max_pool(args); }

}  // namespace lpn
