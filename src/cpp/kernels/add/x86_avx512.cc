#include "simd/vec_avx512.h"

#include "kernels/add/add-inl.h"

namespace lpn {

void add_u8_avx512(const AddArgs<std::uint8_t>& args) { add(args); }

}  // namespace lpn
