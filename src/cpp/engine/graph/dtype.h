// What the elements of tensors and weights are.
#pragma once

#include <cstdint>

#include "base/bfloat16.h"

namespace lpn {

enum class DType : std::uint8_t { kF32, kBf16 };

template <class T>
struct DTypeOf;
template <>
struct DTypeOf<float> {
  static constexpr DType kValue = DType::kF32;
};
template <>
struct DTypeOf<Bfloat16> {
  static constexpr DType kValue = DType::kBf16;
};

constexpr std::int64_t size_of(DType type) {
  switch (type) {
    case DType::kF32:
      return sizeof(float);
    case DType::kBf16:
      return sizeof(Bfloat16);
  }
  return 0;
}

// body(T()) for the T that elements of the type are: with_elements(type, [](auto zero) { ... }).
template <class Body>
auto with_elements(DType type, const Body& body) {
  return type == DType::kBf16 ? body(Bfloat16()) : body(float());
}

// Of `count` elements.
template <class T>
constexpr std::int64_t bytes_of(std::int64_t count) {
  return count * static_cast<std::int64_t>(sizeof(T));
}

}  // namespace lpn
