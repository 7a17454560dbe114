// Arithmetic of quantized maps number by number: what every tier must give to the bit. It shares no
// code with the kernels.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

namespace lpn::test {

using Bytes = std::vector<std::uint8_t>;
using SignedBytes = std::vector<std::int8_t>;

// A third of them at an end, so that sums get as large as they can.
inline Bytes random_bytes(std::int64_t size, unsigned seed) {
  std::mt19937 generator(seed);
  Bytes values(static_cast<std::size_t>(size));
  for (std::uint8_t& value : values) {
    const auto any = static_cast<std::uint32_t>(generator());
    value = any % 3 == 0 ? (any >> 8) % 2 == 0 ? 0 : 255 : static_cast<std::uint8_t>(any >> 16);
  }
  return values;
}

// In -127..127.
inline SignedBytes random_weights(std::int64_t size, unsigned seed) {
  SignedBytes values;
  for (const std::uint8_t byte : random_bytes(size, seed)) {
    values.push_back(static_cast<std::int8_t>(std::max(static_cast<int>(byte) - 128, -127)));
  }
  return values;
}

// The nearest float32, of two the even one.
inline float float_of(std::int64_t sum) { return static_cast<float>(static_cast<double>(sum)); }

// What an epilogue makes of the value v.
template <class Out>
Out converted(float v, float least, float most);
template <>
inline float converted<float>(float v, float least, float most) {
  if (v < least) return least;
  return v > most ? most : v;
}
template <>
inline std::uint8_t converted<std::uint8_t>(float v, float least, float most) {
  if (!(v > least)) v = least;
  if (v > most) v = most;
  const float below = std::floor(v);
  const float rest = v - below;
  const bool up = rest > 0.5f || (rest == 0.5f && std::fmod(below, 2.0f) == 1.0f);
  return static_cast<std::uint8_t>(below + (up ? 1.0f : 0.0f));
}

}  // namespace lpn::test
