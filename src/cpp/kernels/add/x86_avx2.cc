#include "simd/vec_avx2.h"

#include "kernels/add/add-inl.h"

namespace lpn {

void add_u8_avx2(const AddArgs<std::uint8_t>& args) { add(args); }

}  // namespace lpn
