// The integer lanes of the vector layer for AVX-512. Included by vec_avx512.h only.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "simd/vec.h"

namespace lpn {
namespace {

struct S8 {
  using Lane = int8_t;
  static constexpr int kLanes = 64;

  __m512i v;
};

struct I16 {
  using Lane = int16_t;
  static constexpr int kLanes = 32;

  __m512i v;
};

struct I32 {
  using Lane = int32_t;
  static constexpr int kLanes = 16;

  __m512i v;
};

inline __mmask64 first_bytes(int n) { return n < 64 ? (uint64_t{1} << n) - 1 : ~uint64_t{0}; }
template <>
inline U8 load_n<U8>(const uint8_t* p, int n) {
  return {_mm512_maskz_loadu_epi8(first_bytes(n), p)};
}
template <>
inline U8 set1<U8>(uint8_t x) {
  return {_mm512_set1_epi8(static_cast<char>(x))};
}
template <>
inline U8 set1_quad<U8>(const uint8_t* p) {
  int32_t quad;
  memcpy(&quad, p, sizeof quad);
  return {_mm512_set1_epi32(quad)};
}
template <>
inline U8 set1_first<U8>(const uint8_t* p, int n) {
  return {_mm512_broadcastd_epi32(_mm_maskz_loadu_epi8(first_lanes(n), p))};
}
template <>
inline S8 load<S8>(const int8_t* p) {
  return {_mm512_loadu_si512(p)};
}
template <>
inline S8 load_n<S8>(const int8_t* p, int n) {
  return {_mm512_maskz_loadu_epi8(first_bytes(n), p)};
}
template <>
inline I16 load<I16>(const int16_t* p) {
  return {_mm512_loadu_si512(p)};
}
template <>
inline I16 load_n<I16>(const int16_t* p, int n) {
  return {_mm512_maskz_loadu_epi16(static_cast<__mmask32>(first_bytes(n)), p)};
}
template <>
inline I16 set1_pair<I16>(const int16_t* p) {
  int32_t pair;
  memcpy(&pair, p, sizeof pair);
  return {_mm512_set1_epi32(pair)};
}
template <>
inline I32 zero<I32>() {
  return {_mm512_setzero_si512()};
}
template <>
inline I32 set1<I32>(int32_t x) {
  return {_mm512_set1_epi32(x)};
}
template <>
inline I32 load<I32>(const int32_t* p) {
  return {_mm512_loadu_si512(p)};
}
inline void store(int32_t* p, I32 a) { _mm512_storeu_si512(p, a.v); }
template <>
inline F32 load<F32>(const uint8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))};
}
template <>
inline F32 load_n<F32>(const uint8_t* p, int n) {
  const __m128i bytes = _mm_maskz_loadu_epi8(first_lanes(n), p);
  return {_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(bytes))};
}
inline __m128i round_to_bytes(__m512 a) { return _mm512_cvtepi32_epi8(_mm512_cvtps_epi32(a)); }
inline void store(uint8_t* p, F32 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), round_to_bytes(a.v));
}
inline void store_n(uint8_t* p, int n, F32 a) {
  _mm_mask_storeu_epi8(p, first_lanes(n), round_to_bytes(a.v));
}
inline void store(uint8_t* p, U8 a) { _mm512_storeu_si512(p, a.v); }
inline void store_halves(uint8_t* lower, uint8_t* upper, U8 a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(lower), _mm512_castsi512_si256(a.v));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(upper), _mm512_extracti64x4_epi64(a.v, 1));
}
template <>
inline I16 load<I16>(const uint8_t* p) {
  return {_mm512_cvtepu8_epi16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
template <>
inline I16 load_n<I16>(const uint8_t* p, int n) {
  return {_mm512_cvtepu8_epi16(_mm256_maskz_loadu_epi8(static_cast<__mmask32>(first_bytes(n)), p))};
}
inline void store(int16_t* p, I16 a) { _mm512_storeu_si512(p, a.v); }
inline F32 fma_exact(F32 a, F32 b, F32 c) { return fma(a, b, c); }
inline I32 add(I32 a, I32 b) { return {_mm512_add_epi32(a.v, b.v)}; }
// Instructions by name where they add to an accumulator: to GCC 12 an intrinsic's accumulator is a
// vector of other integers than its result, both of which it keeps around a loop until registers
// run out.
inline I32 dot(I16 a, I16 b, I32 c) {
  const __m512i products = _mm512_madd_epi16(a.v, b.v);
  asm("vpaddd %1, %0, %0" : "+v"(c.v) : "v"(products));
  return c;
}
#if defined(__AVX512VNNI__)
constexpr bool kHasDot4 = true;
inline I32 dot4(U8 a, S8 b, I32 c) {
  asm("vpdpbusd %2, %1, %0" : "+v"(c.v) : "v"(a.v), "v"(b.v));
  return c;
}
#else
constexpr bool kHasDot4 = false;
// Bytes of even and of odd position, widened: sums of two products of bytes do not fit 16 bits.
inline I32 dot4(U8 a, S8 b, I32 c) {
  const I16 a_even = {_mm512_and_si512(a.v, _mm512_set1_epi16(0xFF))};
  const I16 a_odd = {_mm512_srli_epi16(a.v, 8)};
  const I16 b_even = {_mm512_srai_epi16(_mm512_slli_epi16(b.v, 8), 8)};
  const I16 b_odd = {_mm512_srai_epi16(b.v, 8)};
  return dot(a_even, b_even, dot(a_odd, b_odd, c));
}
#endif
inline int32_t reduce_add(I32 a) { return _mm512_reduce_add_epi32(a.v); }
inline F32 to_float(I32 a) { return {_mm512_cvtepi32_ps(a.v)}; }
inline I32 to_int(F32 a) { return {_mm512_cvtps_epi32(a.v)}; }
// Packing works within 128 bits: words of four bytes are then put in order.
inline U8 to_bytes(I32 a, I32 b, I32 c, I32 d) {
  const __m512i order = _mm512_setr_epi32(0, 4, 8, 12, 1, 5, 9, 13, 2, 6, 10, 14, 3, 7, 11, 15);
  const __m512i packed =
      _mm512_packus_epi16(_mm512_packs_epi32(a.v, b.v), _mm512_packs_epi32(c.v, d.v));
  return {_mm512_permutexvar_epi32(order, packed)};
}
inline U8 max(U8 a, U8 b) { return {_mm512_max_epu8(a.v, b.v)}; }
inline void store_n(uint8_t* p, int n, U8 a) { _mm512_mask_storeu_epi8(p, first_bytes(n), a.v); }
inline U8 min(U8 a, U8 b) { return {_mm512_min_epu8(a.v, b.v)}; }
inline I16 even_bytes(U8 a) { return {_mm512_and_si512(a.v, _mm512_set1_epi16(0xFF))}; }
inline I16 odd_bytes(U8 a) { return {_mm512_srli_epi16(a.v, 8)}; }
inline void transpose4(U8 a, U8 b, U8 c, U8 d, U8 (&part)[4]) {
  const __m512i ab_low = _mm512_unpacklo_epi8(a.v, b.v);
  const __m512i ab_high = _mm512_unpackhi_epi8(a.v, b.v);
  const __m512i cd_low = _mm512_unpacklo_epi8(c.v, d.v);
  const __m512i cd_high = _mm512_unpackhi_epi8(c.v, d.v);
  part[0].v = _mm512_unpacklo_epi16(ab_low, cd_low);
  part[1].v = _mm512_unpackhi_epi16(ab_low, cd_low);
  part[2].v = _mm512_unpacklo_epi16(ab_high, cd_high);
  part[3].v = _mm512_unpackhi_epi16(ab_high, cd_high);
}
inline I16 saturate(I32 a, I32 b) { return {_mm512_packs_epi32(a.v, b.v)}; }
inline U8 saturate(I16 a, I16 b) { return {_mm512_packus_epi16(a.v, b.v)}; }
inline void load_deinterleave2(const uint8_t* p, U8& even, U8& odd) {
  const __m512i low = _mm512_loadu_si512(p);
  const __m512i high = _mm512_loadu_si512(p + 64);
  const auto narrow = [](__m512i a, __m512i b) {
    return _mm512_inserti64x4(_mm512_castsi256_si512(_mm512_cvtepi16_epi8(a)),
                              _mm512_cvtepi16_epi8(b), 1);
  };
  even.v = narrow(low, high);
  odd.v = narrow(_mm512_srli_epi16(low, 8), _mm512_srli_epi16(high, 8));
}
}  // namespace
}  // namespace lpn
