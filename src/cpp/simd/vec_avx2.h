// The vector layer for AVX2 with FMA: eight lanes. Included by x86_avx2.cc and x86_avxvnni.cc
// files only.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "simd/vec.h"

namespace lpn {
namespace {

// 6 x 2 accumulators, two weights and one broadcast fill 15 of the 16 registers, and 12 independent
// chains cover the latency (4) x throughput (2) = 8 of the fma units.
constexpr int kTileVectors = 2;

constexpr int kVectorRegisters = 16;

struct F32 {
  using Lane = float;
  static constexpr int kLanes = 8;
  struct Mask {
    __m256 v;
  };

  __m256 v;
};

struct F64 {
  using Lane = double;
  static constexpr int kLanes = 4;

  __m256d v;
};

struct U8 {
  using Lane = uint8_t;
  static constexpr int kLanes = 32;

  __m256i v;
};

struct BF16 {
  using Lane = Bfloat16;
  static constexpr int kLanes = 16;

  __m256i v;
};

// The first n of eight 32-bit masks: a window into eight set words followed by eight clear ones.
inline __m256i first_lanes(int n) {
  static const int32_t kWindow[16] = {-1, -1, -1, -1, -1, -1, -1, -1, 0, 0, 0, 0, 0, 0, 0, 0};
  return _mm256_loadu_si256(reinterpret_cast<const __m256i*>(kWindow + 8 - n));
}

template <>
inline F32 zero<F32>() {
  return {_mm256_setzero_ps()};
}
template <>
inline F32 set1<F32>(float x) {
  return {_mm256_set1_ps(x)};
}
template <>
inline F32 iota<F32>() {
  return {_mm256_setr_ps(0, 1, 2, 3, 4, 5, 6, 7)};
}
template <>
inline F32 load<F32>(const float* p) {
  return {_mm256_loadu_ps(p)};
}
template <>
inline F32 load_n<F32>(const float* p, int n) {
  return {_mm256_maskload_ps(p, first_lanes(n))};
}
template <>
inline F64 zero<F64>() {
  return {_mm256_setzero_pd()};
}
template <>
inline F64 set1<F64>(double x) {
  return {_mm256_set1_pd(x)};
}
inline F64 widen(const float* p) { return {_mm256_cvtps_pd(_mm_loadu_ps(p))}; }
inline F64 widen_n(const float* p, int n) {
  return {_mm256_cvtps_pd(_mm_maskload_ps(p, _mm256_castsi256_si128(first_lanes(n))))};
}
template <>
inline U8 load<U8>(const uint8_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
inline void store(float* p, F32 a) { _mm256_storeu_ps(p, a.v); }
inline void store_n(float* p, int n, F32 a) { _mm256_maskstore_ps(p, first_lanes(n), a.v); }
inline F32 widen(__m128i halves) {
  return {_mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(halves), 16))};
}
template <>
inline F32 load<F32>(const Bfloat16* p) {
  return widen(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)));
}
template <>
inline F32 load_n<F32>(const Bfloat16* p, int n) {
  __m128i halves = _mm_setzero_si128();
  memcpy(&halves, p, static_cast<size_t>(n) * sizeof(Bfloat16));
  return widen(halves);
}
template <>
inline BF16 load<BF16>(const Bfloat16* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
template <>
inline BF16 load_n<BF16>(const Bfloat16* p, int n) {
  BF16 r = {_mm256_setzero_si256()};
  memcpy(&r.v, p, static_cast<size_t>(n) * sizeof(Bfloat16));
  return r;
}
template <>
inline BF16 set1_pair<BF16>(const Bfloat16* p) {
  int32_t pair;
  memcpy(&pair, p, sizeof pair);
  return {_mm256_set1_epi32(pair)};
}
template <>
inline BF16 set1_single<BF16>(const Bfloat16* p) {
  return {_mm256_set1_epi32(static_cast<uint16_t>(*p))};
}
inline F32 even_lanes(BF16 a) { return {_mm256_castsi256_ps(_mm256_slli_epi32(a.v, 16))}; }
inline F32 odd_lanes(BF16 a) {
  const __m256i upper = _mm256_set1_epi32(static_cast<int>(0xFFFF0000u));
  return {_mm256_castsi256_ps(_mm256_and_si256(a.v, upper))};
}
inline __m128i round_to_bfloat16(__m256 a) {
  const __m256i bits = _mm256_castps_si256(a);
  const __m256i cut = _mm256_srli_epi32(bits, 16);
  const __m256i odd = _mm256_and_si256(cut, _mm256_set1_epi32(1));
  const __m256i up = _mm256_add_epi32(bits, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7FFF)));
  const __m256i exponent = _mm256_and_si256(bits, _mm256_set1_epi32(0x7F800000));
  const __m256i tiny = _mm256_cmpeq_epi32(exponent, _mm256_setzero_si256());
  const __m256i zero = _mm256_and_si256(cut, _mm256_set1_epi32(0x8000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
  const __m256i quiet = _mm256_or_si256(cut, _mm256_set1_epi32(0x40));
  __m256i rounded = _mm256_blendv_epi8(_mm256_srli_epi32(up, 16), zero, tiny);
  rounded = _mm256_blendv_epi8(rounded, quiet, nan);
  return _mm_packus_epi32(_mm256_castsi256_si128(rounded), _mm256_extracti128_si256(rounded, 1));
}
inline void store(Bfloat16* p, F32 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), round_to_bfloat16(a.v));
}
inline void store_n(Bfloat16* p, int n, F32 a) {
  const __m128i halves = round_to_bfloat16(a.v);
  memcpy(p, &halves, static_cast<size_t>(n) * sizeof(Bfloat16));
}
inline void store(double* p, F64 a) { _mm256_storeu_pd(p, a.v); }
inline void store_n(double* p, int n, F64 a) {
  const __m256i mask = _mm256_cvtepi32_epi64(_mm256_castsi256_si128(first_lanes(n)));
  _mm256_maskstore_pd(p, mask, a.v);
}
inline void prefetch_l2(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
inline void load_deinterleave2(const float* p, F32& even, F32& odd) {
  const __m256 lo = _mm256_loadu_ps(p);
  const __m256 hi = _mm256_loadu_ps(p + 8);
  const __m256 first = _mm256_permute2f128_ps(lo, hi, 0x20);
  const __m256 second = _mm256_permute2f128_ps(lo, hi, 0x31);
  even.v = _mm256_shuffle_ps(first, second, 0x88);
  odd.v = _mm256_shuffle_ps(first, second, 0xDD);
}
inline void load_deinterleave2(const Bfloat16* p, F32& even, F32& odd) {
  const BF16 pairs = load<BF16>(p);
  even = even_lanes(pairs);
  odd = odd_lanes(pairs);
}
// Bytes 4 i + j become lane i of part[j].
inline void deinterleave4(U8 bytes, F32 (&part)[4]) {
  const __m256i low_byte = _mm256_set1_epi32(0xFF);
  part[0].v = _mm256_cvtepi32_ps(_mm256_and_si256(bytes.v, low_byte));
  part[1].v = _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(bytes.v, 8), low_byte));
  part[2].v = _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srli_epi32(bytes.v, 16), low_byte));
  part[3].v = _mm256_cvtepi32_ps(_mm256_srli_epi32(bytes.v, 24));
}
// One permutation per input puts each lane where one of the three results wants it; blends then
// pick.
inline void store_interleave3(float* p, F32 a, F32 b, F32 c) {
  a.v = _mm256_permutevar8x32_ps(a.v, _mm256_setr_epi32(0, 3, 6, 1, 4, 7, 2, 5));
  b.v = _mm256_permutevar8x32_ps(b.v, _mm256_setr_epi32(5, 0, 3, 6, 1, 4, 7, 2));
  c.v = _mm256_permutevar8x32_ps(c.v, _mm256_setr_epi32(2, 5, 0, 3, 6, 1, 4, 7));
  _mm256_storeu_ps(p, _mm256_blend_ps(_mm256_blend_ps(a.v, b.v, 0x92), c.v, 0x24));
  _mm256_storeu_ps(p + 8, _mm256_blend_ps(_mm256_blend_ps(a.v, b.v, 0x24), c.v, 0x49));
  _mm256_storeu_ps(p + 16, _mm256_blend_ps(_mm256_blend_ps(a.v, b.v, 0x49), c.v, 0x92));
}

inline F32 add(F32 a, F32 b) { return {_mm256_add_ps(a.v, b.v)}; }
inline F32 sub(F32 a, F32 b) { return {_mm256_sub_ps(a.v, b.v)}; }
inline F32 mul(F32 a, F32 b) { return {_mm256_mul_ps(a.v, b.v)}; }
inline F32 div(F32 a, F32 b) { return {_mm256_div_ps(a.v, b.v)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm256_fmadd_ps(a.v, b.v, c.v)}; }
inline F64 fma(F64 a, F64 b, F64 c) { return {_mm256_fmadd_pd(a.v, b.v, c.v)}; }
constexpr bool kHasDot = false;
inline F32 dot(BF16 a, BF16 b, F32 c) {
  return fma(even_lanes(a), even_lanes(b), fma(odd_lanes(a), odd_lanes(b), c));
}
inline F32 max(F32 a, F32 b) { return {_mm256_max_ps(a.v, b.v)}; }
inline F32 min(F32 a, F32 b) { return {_mm256_min_ps(a.v, b.v)}; }
inline F32 round_even(F32 a) {
  return {_mm256_round_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline F32 exp2_integral(F32 n) {
  const __m256i biased = _mm256_add_epi32(_mm256_cvtps_epi32(n.v), _mm256_set1_epi32(127));
  return {_mm256_castsi256_ps(_mm256_slli_epi32(biased, 23))};
}

inline F32::Mask greater(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_GT_OQ)}; }
inline F32::Mask is_nan(F32 a) { return {_mm256_cmp_ps(a.v, a.v, _CMP_UNORD_Q)}; }
inline F32::Mask any_is_nan(F32 a, F32 b) { return {_mm256_cmp_ps(a.v, b.v, _CMP_UNORD_Q)}; }
inline F32::Mask mask_or(F32::Mask a, F32::Mask b) { return {_mm256_or_ps(a.v, b.v)}; }
template <>
inline F32::Mask mask_none<F32>() {
  return {_mm256_setzero_ps()};
}
inline bool any(F32::Mask m) { return _mm256_movemask_ps(m.v) != 0; }
inline bool all(F32::Mask m) { return _mm256_movemask_ps(m.v) == 0xFF; }
inline F32 select(F32::Mask m, F32 if_true, F32 if_false) {
  return {_mm256_blendv_ps(if_false.v, if_true.v, m.v)};
}

inline float reduce_add(F32 a) {
  const __m128 of_4 = _mm_add_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  const __m128 of_2 = _mm_add_ps(of_4, _mm_movehl_ps(of_4, of_4));
  return _mm_cvtss_f32(_mm_add_ss(of_2, _mm_movehdup_ps(of_2)));
}
inline F32 reduce_add_each(const F32 (&rows)[F32::kLanes]) {
  const auto of_4 = [&](int r) {
    const __m256 a = rows[r].v;
    const __m256 b = rows[r + 4].v;
    return _mm256_castps_pd(
        _mm256_add_ps(_mm256_permute2f128_ps(a, b, 0x20), _mm256_permute2f128_ps(a, b, 0x31)));
  };
  const auto of_2 = [&](int r) {
    const __m256d a = of_4(r);
    const __m256d b = of_4(r + 1);
    return _mm256_add_ps(_mm256_castpd_ps(_mm256_unpacklo_pd(a, b)),
                         _mm256_castpd_ps(_mm256_unpackhi_pd(a, b)));
  };
  const __m256 a = of_2(0);
  const __m256 b = of_2(2);
  return {_mm256_add_ps(_mm256_shuffle_ps(a, b, 0x88), _mm256_shuffle_ps(a, b, 0xDD))};
}
inline float reduce_max(F32 a) {
  __m128 r = _mm_max_ps(_mm256_castps256_ps128(a.v), _mm256_extractf128_ps(a.v, 1));
  r = _mm_max_ps(r, _mm_movehl_ps(r, r));
  return _mm_cvtss_f32(_mm_max_ss(r, _mm_movehdup_ps(r)));
}

inline uint64_t crc32c_word(uint64_t remainder, uint64_t word) {
  return _mm_crc32_u64(remainder, word);
}

}  // namespace
}  // namespace lpn

#include "simd/integers_avx2.h"
