// What a network computes in.
#pragma once

#include <cstdint>

namespace lpn {

enum class Precision : std::uint8_t {
  kFp32,
  // Maps and the factors of matrix products are bfloat16; sums, and all other arithmetic, float32.
  kBf16,
};

}  // namespace lpn
