#include "simd/vec_scalar.h"

#include "kernels/add/add-inl.h"

namespace lpn {

void add_u8_scalar(const AddArgs<std::uint8_t>& args) { add(args); }

}  // namespace lpn
