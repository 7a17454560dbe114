// What a network computes in.
#pragma once

#include <cstdint>

#include "engine/graph/dtype.h"

namespace lpn {

enum class Precision : std::uint8_t {
  kFp32,
  // Maps and the factors of matrix products are bfloat16; sums, and all other arithmetic, float32.
  kBf16,
  // Maps with a quantization are bytes, and factors of their products 8-bit integers; sums are
  // exact, and all that follows them float32.
  kInt8,
};

// Of products of factors of a type.
constexpr Precision precision_of(DType factors) {
  if (factors == DType::kU8) return Precision::kInt8;
  return factors == DType::kBf16 ? Precision::kBf16 : Precision::kFp32;
}

}  // namespace lpn
