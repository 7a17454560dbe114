// Polynomials over GF(2) modulo that of CRC-32C, for every instruction set. Of 32 bits, the highest
// is the coefficient of x^0.
#pragma once

#include <stdint.h>

namespace lpn {
namespace {

constexpr uint32_t kCrc32cPolynomial = 0x82f63b78;  // without x^32

// p x
constexpr uint32_t times_x(uint32_t p) { return p >> 1 ^ (kCrc32cPolynomial & (0 - (p & 1))); }

// p q
constexpr uint32_t times(uint32_t p, uint32_t q) {
  uint32_t product = 0;
  for (; p != 0; p <<= 1, q = times_x(q)) product ^= q & (0 - (p >> 31));
  return product;
}

// x^(8 n): what a remainder is multiplied by when n bytes follow.
constexpr uint32_t x_to_bytes(int64_t n) {
  uint32_t power = uint32_t{1} << 31;
  uint32_t factor = uint32_t{1} << 23;  // x^8
  for (; n > 0; n >>= 1, factor = times(factor, factor)) {
    if ((n & 1) != 0) power = times(power, factor);
  }
  return power;
}

}  // namespace
}  // namespace lpn
