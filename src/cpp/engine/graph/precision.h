// What a network computes in.
#pragma once

#include <cstdint>

#include "engine/graph/dtype.h"

namespace lpn {

enum class Precision : std::uint8_t {
  kFp32,
  // Maps and the factors of matrix products are bfloat16; sums, and all other arithmetic, float32.
  kBf16,
};

// Of products of factors of a type.
constexpr Precision precision_of(DType factors) {
  return factors == DType::kBf16 ? Precision::kBf16 : Precision::kFp32;
}

}  // namespace lpn
