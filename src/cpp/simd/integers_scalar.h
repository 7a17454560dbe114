// The integer lanes of the vector layer in plain C++. Included by vec_scalar.h only.
#pragma once

#include <math.h>
#include <stdint.h>

#include "simd/vec.h"

namespace lpn {
namespace {

struct S8 {
  using Lane = int8_t;
  static constexpr int kLanes = 16;

  int8_t lane[kLanes];
};

struct I16 {
  using Lane = int16_t;
  static constexpr int kLanes = 8;

  int16_t lane[kLanes];
};

struct I32 {
  using Lane = int32_t;
  static constexpr int kLanes = 4;

  int32_t lane[kLanes];
};

template <class Op>
inline I32 map_words(Op op) {
  I32 r;
  for (int i = 0; i < I32::kLanes; ++i) r.lane[i] = op(i);
  return r;
}

template <>
inline U8 load_n<U8>(const uint8_t* p, int n) {
  U8 r{};
  for (int i = 0; i < n; ++i) r.lane[i] = p[i];
  return r;
}
template <>
inline U8 set1<U8>(uint8_t x) {
  U8 r;
  for (int i = 0; i < U8::kLanes; ++i) r.lane[i] = x;
  return r;
}
template <>
inline U8 set1_first<U8>(const uint8_t* p, int n) {
  U8 r{};
  for (int i = 0; i < U8::kLanes; ++i) {
    if (i % 4 < n) r.lane[i] = p[i % 4];
  }
  return r;
}
template <>
inline U8 set1_quad<U8>(const uint8_t* p) {
  return set1_first<U8>(p, 4);
}
template <>
inline S8 load_n<S8>(const int8_t* p, int n) {
  S8 r{};
  for (int i = 0; i < n; ++i) r.lane[i] = p[i];
  return r;
}
template <>
inline S8 load<S8>(const int8_t* p) {
  return load_n<S8>(p, S8::kLanes);
}
template <>
inline I16 load_n<I16>(const int16_t* p, int n) {
  I16 r{};
  for (int i = 0; i < n; ++i) r.lane[i] = p[i];
  return r;
}
template <>
inline I16 load<I16>(const int16_t* p) {
  return load_n<I16>(p, I16::kLanes);
}
template <>
inline I16 set1_pair<I16>(const int16_t* p) {
  I16 r;
  for (int i = 0; i < I16::kLanes; ++i) r.lane[i] = p[i % 2];
  return r;
}
template <>
inline I32 zero<I32>() {
  return I32{};
}
template <>
inline I32 set1<I32>(int32_t x) {
  return {{x, x, x, x}};
}
template <>
inline I32 load<I32>(const int32_t* p) {
  return {{p[0], p[1], p[2], p[3]}};
}
inline void store(int32_t* p, I32 v) {
  for (int i = 0; i < I32::kLanes; ++i) p[i] = v.lane[i];
}
template <>
inline F32 load<F32>(const uint8_t* p) {
  return map_lanes([&](int i) { return static_cast<float>(p[i]); });
}
template <>
inline F32 load_n<F32>(const uint8_t* p, int n) {
  return map_lanes([&](int i) { return i < n ? static_cast<float>(p[i]) : 0.0f; });
}
inline void store_n(uint8_t* p, int n, F32 v) {
  for (int i = 0; i < n; ++i) p[i] = static_cast<uint8_t>(nearbyintf(v.lane[i]));
}
inline void store(uint8_t* p, F32 v) { store_n(p, F32::kLanes, v); }
inline void store(uint8_t* p, U8 v) {
  for (int i = 0; i < U8::kLanes; ++i) p[i] = v.lane[i];
}
inline void store_halves(uint8_t* lower, uint8_t* upper, U8 v) {
  for (int i = 0; i < U8::kLanes; ++i) (i < 8 ? lower : upper - 8)[i] = v.lane[i];
}
template <>
inline I16 load_n<I16>(const uint8_t* p, int n) {
  I16 r{};
  for (int i = 0; i < n; ++i) r.lane[i] = p[i];
  return r;
}
template <>
inline I16 load<I16>(const uint8_t* p) {
  return load_n<I16>(p, I16::kLanes);
}
inline void store(int16_t* p, I16 v) {
  for (int i = 0; i < I16::kLanes; ++i) p[i] = v.lane[i];
}
// Rounded once here too.
inline F32 fma_exact(F32 a, F32 b, F32 c) {
  return map_lanes([&](int i) { return fmaf(a.lane[i], b.lane[i], c.lane[i]); });
}
inline I32 add(I32 a, I32 b) {
  return map_words([&](int i) { return a.lane[i] + b.lane[i]; });
}
inline I32 dot(I16 a, I16 b, I32 c) {
  return map_words([&](int i) {
    return c.lane[i] + a.lane[2 * i] * b.lane[2 * i] + a.lane[2 * i + 1] * b.lane[2 * i + 1];
  });
}
constexpr bool kHasDot4 = false;
inline I32 dot4(U8 a, S8 b, I32 c) {
  return map_words([&](int i) {
    int32_t sum = c.lane[i];
    for (int j = 4 * i; j < 4 * i + 4; ++j) sum += a.lane[j] * b.lane[j];
    return sum;
  });
}
inline int32_t reduce_add(I32 a) { return a.lane[0] + a.lane[1] + a.lane[2] + a.lane[3]; }
inline F32 to_float(I32 a) {
  return map_lanes([&](int i) { return static_cast<float>(a.lane[i]); });
}
// The nearest integer, half to even; INT32_MIN for a NaN and for what an int32 does not hold.
inline I32 to_int(F32 a) {
  constexpr float kBound = 2147483648.0f;
  return map_words([&](int i) {
    const bool held = a.lane[i] >= -kBound && a.lane[i] < kBound;
    return held ? static_cast<int32_t>(nearbyintf(a.lane[i])) : INT32_MIN;
  });
}
inline U8 to_bytes(I32 a, I32 b, I32 c, I32 d) {
  const I32 parts[4] = {a, b, c, d};
  U8 r;
  for (int i = 0; i < U8::kLanes; ++i) {
    const int32_t x = parts[i / 4].lane[i % 4];
    r.lane[i] = static_cast<uint8_t>(x < 0 ? 0 : x > 255 ? 255 : x);
  }
  return r;
}
inline U8 max(U8 a, U8 b) {
  U8 r;
  for (int i = 0; i < U8::kLanes; ++i) r.lane[i] = a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i];
  return r;
}
inline void store_n(uint8_t* p, int n, U8 v) {
  for (int i = 0; i < n; ++i) p[i] = v.lane[i];
}
inline U8 min(U8 a, U8 b) {
  U8 r;
  for (int i = 0; i < U8::kLanes; ++i) r.lane[i] = a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i];
  return r;
}
inline I16 even_bytes(U8 a) {
  I16 r;
  for (int i = 0; i < I16::kLanes; ++i) r.lane[i] = a.lane[2 * i];
  return r;
}
inline I16 odd_bytes(U8 a) {
  I16 r;
  for (int i = 0; i < I16::kLanes; ++i) r.lane[i] = a.lane[2 * i + 1];
  return r;
}
inline void transpose4(U8 a, U8 b, U8 c, U8 d, U8 (&part)[4]) {
  for (int i = 0; i < U8::kLanes; ++i) {
    const U8* const of_four[4] = {&a, &b, &c, &d};
    for (int j = 0; j < 4; ++j) part[i / 4].lane[i % 4 * 4 + j] = of_four[j]->lane[i];
  }
}
inline I16 saturate(I32 a, I32 b) {
  I16 r;
  for (int i = 0; i < I16::kLanes; ++i) {
    const int32_t x = i < I32::kLanes ? a.lane[i] : b.lane[i - I32::kLanes];
    r.lane[i] = static_cast<int16_t>(x < INT16_MIN ? INT16_MIN : x > INT16_MAX ? INT16_MAX : x);
  }
  return r;
}
inline U8 saturate(I16 a, I16 b) {
  U8 r;
  for (int i = 0; i < U8::kLanes; ++i) {
    const int16_t x = i < I16::kLanes ? a.lane[i] : b.lane[i - I16::kLanes];
    r.lane[i] = static_cast<uint8_t>(x < 0 ? 0 : x > UINT8_MAX ? UINT8_MAX : x);
  }
  return r;
}
inline void load_deinterleave2(const uint8_t* p, U8& even, U8& odd) {
  for (int i = 0; i < U8::kLanes; ++i) {
    even.lane[i] = p[2 * i];
    odd.lane[i] = p[2 * i + 1];
  }
}
}  // namespace
}  // namespace lpn
