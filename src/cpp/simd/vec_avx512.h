// The vector layer for AVX-512 (F, BW, VL, DQ): sixteen lanes. Included by x86_avx512*.cc
// files only.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "simd/vec.h"

namespace lpn {
namespace {

// 6 x 4 accumulators, four weights and one broadcast fill 29 of the 32 registers; each broadcast
// then feeds four fma.
constexpr int kTileVectors = 4;

constexpr int kVectorRegisters = 32;

struct F32 {
  using Lane = float;
  static constexpr int kLanes = 16;
  struct Mask {
    __mmask16 v;
  };

  __m512 v;
};

struct F64 {
  using Lane = double;
  static constexpr int kLanes = 8;

  __m512d v;
};

struct U8 {
  using Lane = uint8_t;
  static constexpr int kLanes = 64;

  __m512i v;
};

struct BF16 {
  using Lane = Bfloat16;
  static constexpr int kLanes = 32;

  __m512i v;
};

inline __mmask16 first_lanes(int n) { return static_cast<__mmask16>((1u << n) - 1u); }

template <>
inline F32 zero<F32>() {
  return {_mm512_setzero_ps()};
}
template <>
inline F32 set1<F32>(float x) {
  return {_mm512_set1_ps(x)};
}
template <>
inline F32 iota<F32>() {
  return {_mm512_setr_ps(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)};
}
template <>
inline F32 load<F32>(const float* p) {
  return {_mm512_loadu_ps(p)};
}
template <>
inline F32 load_n<F32>(const float* p, int n) {
  return {_mm512_maskz_loadu_ps(first_lanes(n), p)};
}
template <>
inline F64 zero<F64>() {
  return {_mm512_setzero_pd()};
}
template <>
inline F64 set1<F64>(double x) {
  return {_mm512_set1_pd(x)};
}
inline F64 widen(const float* p) { return {_mm512_cvtps_pd(_mm256_loadu_ps(p))}; }
inline F64 widen_n(const float* p, int n) {
  return {_mm512_cvtps_pd(_mm256_maskz_loadu_ps(static_cast<__mmask8>(first_lanes(n)), p))};
}
template <>
inline U8 load<U8>(const uint8_t* p) {
  return {_mm512_loadu_si512(p)};
}
inline void store(float* p, F32 a) { _mm512_storeu_ps(p, a.v); }
inline void store_n(float* p, int n, F32 a) { _mm512_mask_storeu_ps(p, first_lanes(n), a.v); }
// One shuffle: a conversion and a shift take longer.
inline F32 widen(__m256i halves) {
  const __m512i upper = _mm512_slli_epi32(
      _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15), 16);
  const __m512i words =
      _mm512_maskz_permutexvar_epi16(0xAAAAAAAAu, upper, _mm512_castsi256_si512(halves));
  return {_mm512_castsi512_ps(words)};
}
template <>
inline F32 load<F32>(const Bfloat16* p) {
  return widen(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
template <>
inline F32 load_n<F32>(const Bfloat16* p, int n) {
  return widen(_mm256_maskz_loadu_epi16(first_lanes(n), p));
}
template <>
inline BF16 load<BF16>(const Bfloat16* p) {
  return {_mm512_loadu_si512(p)};
}
template <>
inline BF16 load_n<BF16>(const Bfloat16* p, int n) {
  return {_mm512_maskz_loadu_epi16(static_cast<__mmask32>((uint64_t{1} << n) - 1), p)};
}
template <>
inline BF16 set1_pair<BF16>(const Bfloat16* p) {
  int32_t pair;
  memcpy(&pair, p, sizeof pair);
  return {_mm512_set1_epi32(pair)};
}
template <>
inline BF16 set1_single<BF16>(const Bfloat16* p) {
  return {_mm512_set1_epi32(static_cast<uint16_t>(*p))};
}
inline F32 even_lanes(BF16 a) { return {_mm512_castsi512_ps(_mm512_slli_epi32(a.v, 16))}; }
inline F32 odd_lanes(BF16 a) {
  const __m512i upper = _mm512_set1_epi32(static_cast<int>(0xFFFF0000u));
  return {_mm512_castsi512_ps(_mm512_and_si512(a.v, upper))};
}
inline __m256i round_to_bfloat16(__m512 a) {
#if defined(__AVX512BF16__)
  const __m256bh halves = _mm512_cvtneps_pbh(a);
  __m256i bits;
  memcpy(&bits, &halves, sizeof bits);
  return bits;
#else
  const __m512i bits = _mm512_castps_si512(a);
  const __m512i cut = _mm512_srli_epi32(bits, 16);
  const __m512i odd = _mm512_and_si512(cut, _mm512_set1_epi32(1));
  const __m512i up = _mm512_add_epi32(bits, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7FFF)));
  __m512i rounded = _mm512_srli_epi32(up, 16);
  const __mmask16 tiny = _mm512_testn_epi32_mask(bits, _mm512_set1_epi32(0x7F800000));
  rounded = _mm512_mask_and_epi32(rounded, tiny, cut, _mm512_set1_epi32(0x8000));
  const __mmask16 nan = _mm512_cmp_ps_mask(a, a, _CMP_UNORD_Q);
  rounded = _mm512_mask_or_epi32(rounded, nan, cut, _mm512_set1_epi32(0x40));
  return _mm512_cvtepi32_epi16(rounded);
#endif
}
inline void store(Bfloat16* p, F32 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), round_to_bfloat16(a.v));
}
inline void store_n(Bfloat16* p, int n, F32 a) {
  _mm256_mask_storeu_epi16(p, first_lanes(n), round_to_bfloat16(a.v));
}
inline void store(double* p, F64 a) { _mm512_storeu_pd(p, a.v); }
inline void store_n(double* p, int n, F64 a) {
  _mm512_mask_storeu_pd(p, static_cast<__mmask8>(first_lanes(n)), a.v);
}
inline void prefetch_l2(const void* p) { _mm_prefetch(static_cast<const char*>(p), _MM_HINT_T1); }
inline void load_deinterleave2(const float* p, F32& even, F32& odd) {
  const __m512 lo = _mm512_loadu_ps(p);
  const __m512 hi = _mm512_loadu_ps(p + 16);
  const __m512i evens =
      _mm512_setr_epi32(0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30);
  const __m512i odds = _mm512_setr_epi32(1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31);
  even.v = _mm512_permutex2var_ps(lo, evens, hi);
  odd.v = _mm512_permutex2var_ps(lo, odds, hi);
}
inline void load_deinterleave2(const Bfloat16* p, F32& even, F32& odd) {
  const BF16 pairs = load<BF16>(p);
  even = even_lanes(pairs);
  odd = odd_lanes(pairs);
}
// Bytes 4 i + j become lane i of part[j].
inline void deinterleave4(U8 bytes, F32 (&part)[4]) {
  const __m512i low_byte = _mm512_set1_epi32(0xFF);
  part[0].v = _mm512_cvtepi32_ps(_mm512_and_si512(bytes.v, low_byte));
  part[1].v = _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(bytes.v, 8), low_byte));
  part[2].v = _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srli_epi32(bytes.v, 16), low_byte));
  part[3].v = _mm512_cvtepi32_ps(_mm512_srli_epi32(bytes.v, 24));
}
// One permutation per input puts each lane where one of the three results wants it; blends then
// pick.
inline void store_interleave3(float* p, F32 a, F32 b, F32 c) {
  const __mmask16 first = 0x9249;  // lanes 0, 3, 6, ...
  const __mmask16 second = 0x2492;
  const __mmask16 third = 0x4924;
  const __m512i order_a = _mm512_setr_epi32(0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15, 10, 5);
  const __m512i order_b = _mm512_setr_epi32(5, 0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15, 10);
  const __m512i order_c = _mm512_setr_epi32(10, 5, 0, 11, 6, 1, 12, 7, 2, 13, 8, 3, 14, 9, 4, 15);
  a.v = _mm512_permutexvar_ps(order_a, a.v);
  b.v = _mm512_permutexvar_ps(order_b, b.v);
  c.v = _mm512_permutexvar_ps(order_c, c.v);
  const auto pick = [&](__mmask16 from_b, __mmask16 from_c) {
    return _mm512_mask_blend_ps(from_c, _mm512_mask_blend_ps(from_b, a.v, b.v), c.v);
  };
  _mm512_storeu_ps(p, pick(second, third));
  _mm512_storeu_ps(p + 16, pick(first, second));
  _mm512_storeu_ps(p + 32, pick(third, first));
}

inline F32 add(F32 a, F32 b) { return {_mm512_add_ps(a.v, b.v)}; }
inline F32 sub(F32 a, F32 b) { return {_mm512_sub_ps(a.v, b.v)}; }
inline F32 mul(F32 a, F32 b) { return {_mm512_mul_ps(a.v, b.v)}; }
inline F32 div(F32 a, F32 b) { return {_mm512_div_ps(a.v, b.v)}; }
inline F32 fma(F32 a, F32 b, F32 c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
inline F64 fma(F64 a, F64 b, F64 c) { return {_mm512_fmadd_pd(a.v, b.v, c.v)}; }
#if defined(__AVX512BF16__)
constexpr bool kHasDot = true;
inline F32 dot(BF16 a, BF16 b, F32 c) {
  __m512bh a_pairs;
  __m512bh b_pairs;
  memcpy(&a_pairs, &a.v, sizeof a_pairs);
  memcpy(&b_pairs, &b.v, sizeof b_pairs);
  return {_mm512_dpbf16_ps(c.v, a_pairs, b_pairs)};
}
#else
constexpr bool kHasDot = false;
inline F32 dot(BF16 a, BF16 b, F32 c) {
  return fma(even_lanes(a), even_lanes(b), fma(odd_lanes(a), odd_lanes(b), c));
}
#endif
inline F32 max(F32 a, F32 b) { return {_mm512_max_ps(a.v, b.v)}; }
inline F32 min(F32 a, F32 b) { return {_mm512_min_ps(a.v, b.v)}; }
inline F32 round_even(F32 a) {
  return {_mm512_roundscale_ps(a.v, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)};
}
inline F32 exp2_integral(F32 n) {
  const __m512i biased = _mm512_add_epi32(_mm512_cvtps_epi32(n.v), _mm512_set1_epi32(127));
  return {_mm512_castsi512_ps(_mm512_slli_epi32(biased, 23))};
}

inline F32::Mask greater(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_GT_OQ)}; }
inline F32::Mask is_nan(F32 a) { return {_mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q)}; }
inline F32::Mask any_is_nan(F32 a, F32 b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_UNORD_Q)}; }
inline F32::Mask mask_or(F32::Mask a, F32::Mask b) { return {static_cast<__mmask16>(a.v | b.v)}; }
template <>
inline F32::Mask mask_none<F32>() {
  return {0};
}
inline bool any(F32::Mask m) { return m.v != 0; }
inline bool all(F32::Mask m) { return m.v == 0xFFFF; }
inline F32 select(F32::Mask m, F32 if_true, F32 if_false) {
  return {_mm512_mask_blend_ps(m.v, if_false.v, if_true.v)};
}

inline float reduce_add(F32 a) {
  const __m256 of_8 = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  const __m128 of_4 = _mm_add_ps(_mm256_castps256_ps128(of_8), _mm256_extractf128_ps(of_8, 1));
  const __m128 of_2 = _mm_add_ps(of_4, _mm_movehl_ps(of_4, of_4));
  return _mm_cvtss_f32(_mm_add_ss(of_2, _mm_movehdup_ps(of_2)));
}
// As a transposition by halves whose every step adds what it brings together: after the third of
// them lane 4 i + j is of the row that comes i + 4 j-th below, hence their order.
inline F32 reduce_add_each(const F32 (&rows)[F32::kLanes]) {
  const auto of_8 = [](F32 a, F32 b) {
    return _mm512_add_ps(_mm512_shuffle_f32x4(a.v, b.v, 0x44),
                         _mm512_shuffle_f32x4(a.v, b.v, 0xEE));
  };
  const auto of_4 = [&](int r) {
    const __m512 a = of_8(rows[r], rows[r + 4]);
    const __m512 b = of_8(rows[r + 8], rows[r + 12]);
    return _mm512_castps_pd(
        _mm512_add_ps(_mm512_shuffle_f32x4(a, b, 0x88), _mm512_shuffle_f32x4(a, b, 0xDD)));
  };
  const auto of_2 = [&](int r) {
    const __m512d a = of_4(r);
    const __m512d b = of_4(r + 1);
    return _mm512_add_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(a, b)),
                         _mm512_castpd_ps(_mm512_unpackhi_pd(a, b)));
  };
  const __m512 a = of_2(0);
  const __m512 b = of_2(2);
  return {_mm512_add_ps(_mm512_shuffle_ps(a, b, 0x88), _mm512_shuffle_ps(a, b, 0xDD))};
}
inline float reduce_max(F32 a) { return _mm512_reduce_max_ps(a.v); }

inline uint64_t crc32c_word(uint64_t remainder, uint64_t word) {
  return _mm_crc32_u64(remainder, word);
}

}  // namespace
}  // namespace lpn

#include "simd/integers_avx512.h"
