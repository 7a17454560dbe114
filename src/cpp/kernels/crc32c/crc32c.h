// CRC-32C (Castagnoli), the checksum of RFC 3720: what notices that bytes are not what they were.
#pragma once

#include <cstdint>

#include "kernels/variants.h"

namespace lpn {

// The CRC of the `size` bytes at `data` after those whose CRC is `before` (0: there are none).
//
// Their bits, of each byte the lowest first, are the coefficients of a polynomial M over GF(2), the
// highest power first; the first 32 bits are inverted:
//
//   crc = ~(M x^32 mod P)
//   P = x^32 + x^28 + x^27 + x^26 + x^25 + x^23 + x^22 + x^20 + x^19 + x^18 + x^14 + x^13 + x^11
//       + x^10 + x^9 + x^8 + x^6 + 1
struct Crc32cArgs {
  std::uint32_t before;
  const unsigned char* data;
  std::int64_t size;
};

using Crc32cFn = std::uint32_t (*)(const Crc32cArgs& args);

#define LPN_KERNEL(name, isa) std::uint32_t name(const Crc32cArgs& args);
#include "kernels/crc32c/kernels.inc"
#undef LPN_KERNEL

const Variant<Crc32cFn>& select_crc32c(Isa isa);

// The CRC of two messages one after the other, from that of each and the bytes of the second.
std::uint32_t join_crc32c(std::uint32_t first, std::uint32_t second, std::int64_t second_size);

}  // namespace lpn
