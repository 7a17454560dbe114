// The bfloat16 element type, in a header that ISA files may include: its functions have internal
// linkage.
#pragma once

#include <stdint.h>
#include <string.h>

namespace lpn {

// The upper half of a float32's bits.
enum class Bfloat16 : uint16_t {};

namespace {

// What an element stands for, exactly.
inline float widen(float x) { return x; }
inline float widen(Bfloat16 half) {
  const uint32_t bits = static_cast<uint32_t>(half) << 16;
  float x;
  memcpy(&x, &bits, sizeof x);
  return x;
}

// The element that stands for x. A bfloat16 is the nearest one, of two the even one; a subnormal x
// becomes zero, and a NaN a quiet one: as VCVTNEPS2BF16 does.
template <class T>
T narrow(float x);
template <>
inline float narrow<float>(float x) {
  return x;
}
template <>
inline Bfloat16 narrow<Bfloat16>(float x) {
  uint32_t bits;
  memcpy(&bits, &x, sizeof bits);
  const uint32_t cut = bits >> 16;
  uint32_t rounded = (bits + 0x7FFFu + (cut & 1u)) >> 16;
  if ((bits & 0x7F800000u) == 0) rounded = cut & 0x8000u;
  if (x != x) rounded = cut | 0x40u;
  return static_cast<Bfloat16>(rounded);
}

}  // namespace
}  // namespace lpn
