// Arithmetic of bfloat16 products in software, number by number: what every tier must give to the
// bit. It does not depend on the mode of the CPU and shares no code with the kernels.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <vector>

#include "base/bfloat16.h"
#include "kernels/activation.h"

namespace lpn::test {

using Halves = std::vector<Bfloat16>;

inline std::uint32_t bits_of(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return bits;
}
inline float value_of(float x) { return x; }
inline float value_of(Bfloat16 x) {
  const std::uint32_t bits = static_cast<std::uint32_t>(x) << 16;
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// The nearest bfloat16, of two the even one; of a subnormal number a zero.
inline Bfloat16 nearest(float x) {
  const std::uint32_t toward_zero = bits_of(x) >> 16;
  const auto candidate = [](std::uint32_t bits) { return static_cast<Bfloat16>(bits); };
  if (std::isnan(x)) return candidate(toward_zero | 0x40u);
  if (std::fpclassify(x) == FP_SUBNORMAL) return candidate(toward_zero & 0x8000u);
  if (std::isinf(x) || x == 0.0f) return candidate(toward_zero);
  // Beyond the largest number lies 2^128, which the next bits, infinity's, stand for.
  const double inner = value_of(candidate(toward_zero));
  const double step = std::ldexp(1.0, std::ilogb(x) - 7);
  const double past = std::fabs(static_cast<double>(x)) - std::fabs(inner);
  const bool up = past > step / 2 || (past == step / 2 && toward_zero % 2 == 1);
  return candidate(toward_zero + (up ? 1 : 0));
}

template <class T>
T rounded(float x);
template <>
inline float rounded<float>(float x) {
  return x;
}
template <>
inline Bfloat16 rounded<Bfloat16>(float x) {
  return nearest(x);
}

// x as an operand where subnormal numbers are zero.
inline float operand(float x) {
  return std::fpclassify(x) == FP_SUBNORMAL ? std::copysign(0.0f, x) : x;
}

// `result` of an operation whose exact value is `exact` to 53 bits: zero where it is subnormal when
// rounded to 24 bits of an unbounded exponent.
inline float flushed(float result, double exact) {
  const double least = std::ldexp(1.0 - std::ldexp(1.0, -25), -126);
  return std::fabs(exact) < least ? std::copysign(0.0f, result) : result;
}

inline float fma_flushed(float a, float b, float c) {
  a = operand(a);
  b = operand(b);
  c = operand(c);
  return flushed(std::fma(a, b, c), static_cast<double>(a) * b + c);
}
inline float add_flushed(float a, float b) { return fma_flushed(a, 1.0f, b); }
inline float mul_flushed(float a, float b) {
  a = operand(a);
  b = operand(b);
  return flushed(a * b, static_cast<double>(a) * b);
}

// acc + a0 b0 + a1 b1: the second product first.
inline float add_pair(float a0, float a1, float b0, float b1, float acc) {
  return fma_flushed(a0, b0, fma_flushed(a1, b1, acc));
}

// Terms 2 i and 2 i + 1 are a pair; the last one's partner is zero.
inline float sum_of_pairs(const std::vector<float>& a, const std::vector<float>& b, float acc) {
  for (std::size_t t = 0; t < a.size(); t += 2) {
    const bool last = t + 1 == a.size();
    acc = add_pair(a[t], last ? 0.0f : a[t + 1], b[t], last ? 0.0f : b[t + 1], acc);
  }
  return acc;
}

// As x86 takes a maximum or minimum: b where neither is greater.
inline float activated_flushed(float v, Activation activation) {
  if (activation == Activation::kNone) return v;
  v = 0.0f > v ? 0.0f : v;
  return activation == Activation::kRelu6 && 6.0f < v ? 6.0f : v;
}

// The same bits, or both no number.
template <class T>
bool same(T x, T y) {
  const float a = value_of(x);
  const float b = value_of(y);
  return bits_of(a) == bits_of(b) || (std::isnan(a) && std::isnan(b));
}

inline Halves random_halves(std::int64_t size, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  Halves values(static_cast<std::size_t>(size));
  for (Bfloat16& value : values) value = nearest(uniform(generator));
  return values;
}

}  // namespace lpn::test
