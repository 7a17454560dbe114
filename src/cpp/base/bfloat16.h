// The bfloat16 element type, in a header that ISA files may include.
#pragma once

#include <cstdint>

namespace lpn {

// The upper half of a float32's bits.
enum class Bfloat16 : std::uint16_t {};

}  // namespace lpn
