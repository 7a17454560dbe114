// The checksum's body, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>
#include <string.h>

#include "kernels/crc32c/crc32c.h"
#include "simd/crc32c.h"

namespace lpn {
namespace {

inline uint64_t little_endian_word(const unsigned char* p) {
  uint64_t word;
  memcpy(&word, p, sizeof(word));
#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
  word = __builtin_bswap64(word);
#endif
  return word;
}

// Takes 3 * kWords words at a time off `data`: three stretches, one remainder each, as the CPU
// starts an instruction each cycle but waits three for its result.
template <int kWords>
inline uint32_t take_stretches(uint32_t remainder, const unsigned char*& data, int64_t& size) {
  constexpr int64_t kBytes = 8 * kWords;
  constexpr uint32_t kPastOne = x_to_bytes(kBytes);
  for (; size >= 3 * kBytes; data += 3 * kBytes, size -= 3 * kBytes) {
    uint64_t first = remainder;
    uint64_t second = 0;
    uint64_t third = 0;
    for (int64_t i = 0; i < kBytes; i += 8) {
      first = crc32c_word(first, little_endian_word(data + i));
      second = crc32c_word(second, little_endian_word(data + kBytes + i));
      third = crc32c_word(third, little_endian_word(data + 2 * kBytes + i));
    }
    remainder = times(kPastOne, static_cast<uint32_t>(first)) ^ static_cast<uint32_t>(second);
    remainder = times(kPastOne, remainder) ^ static_cast<uint32_t>(third);
  }
  return remainder;
}

inline uint32_t crc32c(const Crc32cArgs& args) {
  assert(args.size >= 0 && (args.data != nullptr || args.size == 0));
  const unsigned char* data = args.data;
  int64_t size = args.size;
  uint32_t remainder = ~args.before;
  // To join three costs as much as 30 words.
  remainder = take_stretches<1024>(remainder, data, size);
  remainder = take_stretches<64>(remainder, data, size);
  uint64_t words = remainder;
  for (; size >= 8; data += 8, size -= 8) words = crc32c_word(words, little_endian_word(data));
  remainder = static_cast<uint32_t>(words);
  for (; size > 0; ++data, --size) {
    remainder ^= *data;
    for (int bit = 0; bit < 8; ++bit) remainder = times_x(remainder);
  }
  return ~remainder;
}

}  // namespace
}  // namespace lpn
