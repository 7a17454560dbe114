// The vector layer in plain C++: four lanes, which compilers without intrinsics still map to
// whatever the baseline has. Included by scalar.cc files only. The operations are those of every
// vec_*.h; README.md lists them.
#pragma once

#include <math.h>
#include <stdint.h>

#include "simd/crc32c_tables.h"
#include "simd/vec.h"

namespace lpn {
namespace {

// Columns, in vectors, and rows of the register tile of a matrix product.
constexpr int kTileVectors = 2;

// Of four lanes each, in which compilers keep this struct at best.
constexpr int kVectorRegisters = 4;

struct F32 {
  using Lane = float;
  static constexpr int kLanes = 4;
  struct Mask {
    bool lane[kLanes];
  };

  float lane[kLanes];
};

struct F64 {
  using Lane = double;
  static constexpr int kLanes = 2;

  double lane[kLanes];
};

struct U8 {
  using Lane = uint8_t;
  static constexpr int kLanes = 16;

  uint8_t lane[kLanes];
};

struct BF16 {
  using Lane = Bfloat16;
  static constexpr int kLanes = 8;

  Bfloat16 lane[kLanes];
};

template <class Op>
inline F32 map_lanes(Op op) {
  F32 r;
  for (int i = 0; i < F32::kLanes; ++i) r.lane[i] = op(i);
  return r;
}

template <>
inline F32 zero<F32>() {
  return F32{};
}
template <>
inline F32 set1<F32>(float x) {
  return map_lanes([&](int) { return x; });
}
template <>
inline F32 iota<F32>() {
  return map_lanes([&](int i) { return static_cast<float>(i); });
}
template <>
inline F32 load<F32>(const float* p) {
  return map_lanes([&](int i) { return p[i]; });
}
template <>
inline F32 load_n<F32>(const float* p, int n) {
  return map_lanes([&](int i) { return i < n ? p[i] : 0.0f; });
}
template <>
inline F64 zero<F64>() {
  return F64{};
}
template <>
inline F64 set1<F64>(double x) {
  return {{x, x}};
}
inline F64 widen(const float* p) { return {{p[0], p[1]}}; }
inline F64 widen_n(const float* p, int n) { return {{n > 0 ? p[0] : 0.0, n > 1 ? p[1] : 0.0}}; }
template <>
inline U8 load<U8>(const uint8_t* p) {
  U8 r;
  for (int i = 0; i < U8::kLanes; ++i) r.lane[i] = p[i];
  return r;
}
inline void store(float* p, F32 v) {
  for (int i = 0; i < F32::kLanes; ++i) p[i] = v.lane[i];
}
inline void store_n(float* p, int n, F32 v) {
  for (int i = 0; i < n; ++i) p[i] = v.lane[i];
}
template <>
inline F32 load<F32>(const Bfloat16* p) {
  return map_lanes([&](int i) { return widen(p[i]); });
}
template <>
inline F32 load_n<F32>(const Bfloat16* p, int n) {
  return map_lanes([&](int i) { return i < n ? widen(p[i]) : 0.0f; });
}
template <>
inline BF16 load_n<BF16>(const Bfloat16* p, int n) {
  BF16 r{};
  for (int i = 0; i < n; ++i) r.lane[i] = p[i];
  return r;
}
template <>
inline BF16 load<BF16>(const Bfloat16* p) {
  return load_n<BF16>(p, BF16::kLanes);
}
template <>
inline BF16 set1_pair<BF16>(const Bfloat16* p) {
  BF16 r;
  for (int i = 0; i < BF16::kLanes; ++i) r.lane[i] = p[i % 2];
  return r;
}
template <>
inline BF16 set1_single<BF16>(const Bfloat16* p) {
  const Bfloat16 pair[2] = {*p, Bfloat16{}};
  return set1_pair<BF16>(pair);
}
inline F32 even_lanes(BF16 a) {
  return map_lanes([&](int i) { return widen(a.lane[2 * i]); });
}
inline F32 odd_lanes(BF16 a) {
  return map_lanes([&](int i) { return widen(a.lane[2 * i + 1]); });
}
inline void store_n(Bfloat16* p, int n, F32 v) {
  for (int i = 0; i < n; ++i) p[i] = narrow<Bfloat16>(v.lane[i]);
}
inline void store(Bfloat16* p, F32 v) { store_n(p, F32::kLanes, v); }
inline void store(double* p, F64 v) {
  for (int i = 0; i < F64::kLanes; ++i) p[i] = v.lane[i];
}
inline void store_n(double* p, int n, F64 v) {
  for (int i = 0; i < n; ++i) p[i] = v.lane[i];
}
inline void prefetch_l2(const void* p) {
#if defined(__GNUC__)
  constexpr int kForReading = 0, kIntoL2 = 2;
  __builtin_prefetch(p, kForReading, kIntoL2);
#else
  static_cast<void>(p);
#endif
}
inline void load_deinterleave2(const float* p, F32& even, F32& odd) {
  for (int i = 0; i < F32::kLanes; ++i) {
    even.lane[i] = p[2 * i];
    odd.lane[i] = p[2 * i + 1];
  }
}
inline void load_deinterleave2(const Bfloat16* p, F32& even, F32& odd) {
  const BF16 pairs = load<BF16>(p);
  even = even_lanes(pairs);
  odd = odd_lanes(pairs);
}
// Bytes 4 i + j become lane i of part[j].
inline void deinterleave4(U8 bytes, F32 (&part)[4]) {
  for (int i = 0; i < F32::kLanes; ++i) {
    for (int j = 0; j < 4; ++j) part[j].lane[i] = static_cast<float>(bytes.lane[4 * i + j]);
  }
}
inline void store_interleave3(float* p, F32 a, F32 b, F32 c) {
  for (int i = 0; i < F32::kLanes; ++i) {
    p[3 * i] = a.lane[i];
    p[3 * i + 1] = b.lane[i];
    p[3 * i + 2] = c.lane[i];
  }
}

inline F32 add(F32 a, F32 b) {
  return map_lanes([&](int i) { return a.lane[i] + b.lane[i]; });
}
inline F32 sub(F32 a, F32 b) {
  return map_lanes([&](int i) { return a.lane[i] - b.lane[i]; });
}
inline F32 mul(F32 a, F32 b) {
  return map_lanes([&](int i) { return a.lane[i] * b.lane[i]; });
}
inline F32 div(F32 a, F32 b) {
  return map_lanes([&](int i) { return a.lane[i] / b.lane[i]; });
}
// a * b + c: rounded twice here, once on the tiers that have the instruction.
inline F32 fma(F32 a, F32 b, F32 c) {
  return map_lanes([&](int i) { return a.lane[i] * b.lane[i] + c.lane[i]; });
}
inline F64 fma(F64 a, F64 b, F64 c) {
  return {{a.lane[0] * b.lane[0] + c.lane[0], a.lane[1] * b.lane[1] + c.lane[1]}};
}
constexpr bool kHasDot = false;
inline F32 dot(BF16 a, BF16 b, F32 c) {
  return fma(even_lanes(a), even_lanes(b), fma(odd_lanes(a), odd_lanes(b), c));
}
// b where a is not greater, or either is NaN, as x86 does: max(0, v) keeps a NaN, max(v, 0) does
// not.
inline F32 max(F32 a, F32 b) {
  return map_lanes([&](int i) { return a.lane[i] > b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline F32 min(F32 a, F32 b) {
  return map_lanes([&](int i) { return a.lane[i] < b.lane[i] ? a.lane[i] : b.lane[i]; });
}
inline F32 round_even(F32 a) {
  return map_lanes([&](int i) { return nearbyintf(a.lane[i]); });
}
// 2^n for an integral n in [-126, 127].
inline F32 exp2_integral(F32 n) {
  return map_lanes([&](int i) { return ldexpf(1.0f, static_cast<int>(n.lane[i])); });
}

inline F32::Mask greater(F32 a, F32 b) {
  F32::Mask m;
  for (int i = 0; i < F32::kLanes; ++i) m.lane[i] = a.lane[i] > b.lane[i];
  return m;
}
inline F32::Mask is_nan(F32 a) {
  F32::Mask m;
  for (int i = 0; i < F32::kLanes; ++i) m.lane[i] = a.lane[i] != a.lane[i];
  return m;
}
inline F32::Mask any_is_nan(F32 a, F32 b) {
  F32::Mask m;
  for (int i = 0; i < F32::kLanes; ++i)
    m.lane[i] = a.lane[i] != a.lane[i] || b.lane[i] != b.lane[i];
  return m;
}
inline F32::Mask mask_or(F32::Mask a, F32::Mask b) {
  F32::Mask m;
  for (int i = 0; i < F32::kLanes; ++i) m.lane[i] = a.lane[i] || b.lane[i];
  return m;
}
template <>
inline F32::Mask mask_none<F32>() {
  return F32::Mask{};
}
inline bool any(F32::Mask m) {
  bool r = false;
  for (int i = 0; i < F32::kLanes; ++i) r = r || m.lane[i];
  return r;
}
inline bool all(F32::Mask m) {
  bool r = true;
  for (int i = 0; i < F32::kLanes; ++i) r = r && m.lane[i];
  return r;
}
inline F32 select(F32::Mask m, F32 if_true, F32 if_false) {
  return map_lanes([&](int i) { return m.lane[i] ? if_true.lane[i] : if_false.lane[i]; });
}

inline float reduce_add(F32 a) { return (a.lane[0] + a.lane[2]) + (a.lane[1] + a.lane[3]); }
inline F32 reduce_add_each(const F32 (&rows)[F32::kLanes]) {
  return map_lanes([&rows](int i) { return reduce_add(rows[i]); });
}
inline float reduce_max(F32 v) {
  float r = v.lane[0];
  for (int i = 1; i < F32::kLanes; ++i) r = v.lane[i] > r ? v.lane[i] : r;
  return r;
}

inline uint64_t crc32c_word(uint64_t remainder, uint64_t word) {
  word ^= remainder;
  uint32_t result = 0;
  for (int n = 0; n < 8; ++n) result ^= kCrc32cTables.remainder[7 - n][word >> (8 * n) & 255];
  return result;
}

}  // namespace
}  // namespace lpn

#include "simd/integers_scalar.h"
