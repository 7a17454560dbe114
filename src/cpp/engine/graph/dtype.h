// What the elements of tensors and weights are.
#pragma once

#include <cassert>
#include <cstdint>

#include "base/bfloat16.h"

namespace lpn {

enum class DType : std::uint8_t { kF32, kBf16, kU8, kS8 };

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
template <>
struct DTypeOf<std::uint8_t> {
  static constexpr DType kValue = DType::kU8;
};
template <>
struct DTypeOf<std::int8_t> {
  static constexpr DType kValue = DType::kS8;
};

constexpr std::int64_t size_of(DType type) {
  switch (type) {
    case DType::kF32:
      return sizeof(float);
    case DType::kBf16:
      return sizeof(Bfloat16);
    case DType::kU8:
    case DType::kS8:
      return 1;
  }
  return 0;
}

// body(T()) for the T that elements of the type are, of floating point here: with_elements(type,
// [](auto zero) { ... }).
template <class Body>
auto with_elements(DType type, const Body& body) {
  assert(type == DType::kBf16 || type == DType::kF32);
  return type == DType::kBf16 ? body(Bfloat16()) : body(float());
}

// As above; of bytes, too.
template <class Body>
auto with_any_elements(DType type, const Body& body) {
  return type == DType::kU8 ? body(std::uint8_t()) : with_elements(type, body);
}

// Of `count` elements.
template <class T>
constexpr std::int64_t bytes_of(std::int64_t count) {
  return count * static_cast<std::int64_t>(sizeof(T));
}

}  // namespace lpn
