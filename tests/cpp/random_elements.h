// Random maps and weights for the tests of attention's kernels.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <type_traits>
#include <vector>

#include "base/bfloat16.h"

namespace lpn::test {

using Floats = std::vector<float>;  // exactly sized, so that AddressSanitizer sees any overrun

inline Floats random_floats(std::mt19937& generator, std::int64_t size, float scale = 1.0f) {
  std::normal_distribution<float> distribution(0.0f, scale);
  Floats result(static_cast<std::size_t>(size));
  for (float& v : result) v = distribution(generator);
  return result;
}

// How many of an element's units are 1 in tests. Bytes cover -1.2 to 3.9, with 60 for 0.
template <class T>
constexpr float kUnits = std::is_same_v<T, std::uint8_t> ? 50.0f : 1.0f;

template <class T>
T element_of(float value) {
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    return static_cast<T>(std::min(255.0f, std::max(0.0f, 60.0f + kUnits<T> * value)));
  } else {
    return narrow<T>(value);
  }
}

template <class T>
std::vector<T> elements_of(const Floats& values) {
  std::vector<T> elements;
  for (const float value : values) elements.push_back(element_of<T>(value));
  return elements;
}

}  // namespace lpn::test
