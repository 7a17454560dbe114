// CRC-32C by table, for the scalar tier.
#pragma once

#include <stdint.h>

#include "simd/crc32c.h"

namespace lpn {
namespace {

// remainder[n][byte] is what `byte` leaves when n bytes follow it.
struct Crc32cTables {
  uint32_t remainder[8][256];
};

constexpr Crc32cTables make_crc32c_tables() {
  Crc32cTables tables{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = times_x(value);
    tables.remainder[0][byte] = value;
  }
  for (int n = 1; n < 8; ++n) {
    for (int byte = 0; byte < 256; ++byte) {
      const uint32_t before = tables.remainder[n - 1][byte];
      tables.remainder[n][byte] = before >> 8 ^ tables.remainder[0][before & 255];
    }
  }
  return tables;
}

constexpr Crc32cTables kCrc32cTables = make_crc32c_tables();

}  // namespace
}  // namespace lpn
