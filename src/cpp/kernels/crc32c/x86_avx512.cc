#include "simd/vec_avx512.h"

#include "kernels/crc32c/crc32c-inl.h"

namespace lpn {

uint32_t crc32c_u8_avx512(const Crc32cArgs& args) { return crc32c(args); }

}  // namespace lpn
