// CRC-32C on every tier: RFC 3720's examples, and a division bit by bit.
#include "kernels/crc32c/crc32c.h"

#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "test.h"

namespace lpn {
namespace {

// The definition: the remainder takes the message bit by bit.
std::uint32_t divide(const unsigned char* data, std::size_t size) {
  std::uint32_t remainder = 0xffffffff;
  for (std::size_t i = 0; i < 8 * size; ++i) {
    const std::uint32_t bit = (data[i / 8] >> (i % 8) & 1) ^ (remainder & 1);
    remainder = remainder >> 1 ^ (bit != 0 ? 0x82f63b78 : 0);
  }
  return ~remainder;
}

// On the heap in its exact size, so that AddressSanitizer sees every stray read.
struct Bytes {
  explicit Bytes(std::size_t count) : size(count), data(new unsigned char[count]) {
    std::uint32_t state = 12345;
    for (std::size_t i = 0; i < size; ++i) {
      state = state * 1664525 + 1013904223;
      data[i] = static_cast<unsigned char>(state >> 24);
    }
  }

  std::size_t size;
  std::unique_ptr<unsigned char[]> data;
};

std::uint32_t run(const Variant<Crc32cFn>& variant, const unsigned char* data, std::size_t size,
                  std::uint32_t before = 0) {
  return variant.run({before, data, static_cast<std::int64_t>(size)});
}

LPN_TEST(crc32c_gives_the_numbers_of_rfc_3720) {
  std::vector<unsigned char> zeros(32, 0);
  std::vector<unsigned char> ones(32, 0xff);
  std::vector<unsigned char> up(32);
  std::vector<unsigned char> down(32);
  for (std::size_t i = 0; i < 32; ++i) up[i] = down[31 - i] = static_cast<unsigned char>(i);
  // An iSCSI read command.
  std::vector<unsigned char> command(48, 0);
  command[0] = 0x01;
  command[1] = 0xc0;
  command[16] = 0x14;
  command[22] = 0x04;
  command[27] = 0x14;
  command[31] = 0x18;
  command[32] = 0x28;
  command[40] = 0x02;
  const std::string digits = "123456789";
  for (const Isa isa : supported_isas()) {
    const Variant<Crc32cFn>& variant = select_crc32c(isa);
    EXPECT(run(variant, zeros.data(), 32) == 0x8a9136aa, variant.name);
    EXPECT(run(variant, ones.data(), 32) == 0x62a8ab43, variant.name);
    EXPECT(run(variant, up.data(), 32) == 0x46dd794e, variant.name);
    EXPECT(run(variant, down.data(), 32) == 0x113fdb5c, variant.name);
    EXPECT(run(variant, command.data(), 48) == 0xd9963a56, variant.name);
    EXPECT(run(variant, reinterpret_cast<const unsigned char*>(digits.data()), 9) == 0xe3069283,
           variant.name);
    EXPECT(run(variant, nullptr, 0) == 0, variant.name);
  }
}

LPN_TEST(crc32c_matches_a_division_bit_by_bit_at_every_length_and_offset) {
  // Below, at and past the stretches that are taken three at a time: 1536 and 24576 bytes.
  std::vector<std::size_t> sizes;
  for (std::size_t size = 0; size < 70; ++size) sizes.push_back(size);
  for (const std::size_t near : {512, 1536, 3072, 24576, 26112, 49152}) {
    for (std::size_t size = near - 9; size <= near + 9; ++size) sizes.push_back(size);
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const std::size_t offset = i % 8;
    const Bytes bytes(sizes[i] + offset);
    const std::uint32_t expected = divide(bytes.data.get() + offset, sizes[i]);
    for (const Isa isa : supported_isas()) {
      const Variant<Crc32cFn>& variant = select_crc32c(isa);
      const std::uint32_t found = run(variant, bytes.data.get() + offset, sizes[i]);
      EXPECT(found == expected, variant.name, " of ", sizes[i], " bytes: ", found, ", expected ",
             expected);
    }
  }
}

LPN_TEST(crc32c_of_parts_is_that_of_the_whole) {
  const Bytes bytes(30000);
  const unsigned char* data = bytes.data.get();
  const std::uint32_t expected = divide(data, bytes.size);
  for (const Isa isa : supported_isas()) {
    const Variant<Crc32cFn>& variant = select_crc32c(isa);
    for (const std::size_t cut : {0, 1, 7, 8, 1535, 15001, 29999, 30000}) {
      const std::size_t rest = bytes.size - cut;
      const std::uint32_t first = run(variant, data, cut);
      EXPECT(run(variant, data + cut, rest, first) == expected, variant.name, " after ", cut);
      const std::uint32_t second = run(variant, data + cut, rest);
      EXPECT(join_crc32c(first, second, static_cast<std::int64_t>(rest)) == expected, variant.name,
             " joined at ", cut);
    }
  }
}

}  // namespace
}  // namespace lpn
