// The integer lanes of the vector layer for AVX2. Included by vec_avx2.h only.
#pragma once

#include <immintrin.h>
#include <stdint.h>
#include <string.h>

#include "simd/vec.h"

namespace lpn {
namespace {

struct S8 {
  using Lane = int8_t;
  static constexpr int kLanes = 32;

  __m256i v;
};

struct I16 {
  using Lane = int16_t;
  static constexpr int kLanes = 16;

  __m256i v;
};

struct I32 {
  using Lane = int32_t;
  static constexpr int kLanes = 8;

  __m256i v;
};

template <>
inline U8 load_n<U8>(const uint8_t* p, int n) {
  U8 r = {_mm256_setzero_si256()};
  memcpy(&r.v, p, static_cast<size_t>(n));
  return r;
}
template <>
inline U8 set1<U8>(uint8_t x) {
  return {_mm256_set1_epi8(static_cast<char>(x))};
}
template <>
inline U8 set1_quad<U8>(const uint8_t* p) {
  int32_t quad;
  memcpy(&quad, p, sizeof quad);
  return {_mm256_set1_epi32(quad)};
}
template <>
inline U8 set1_first<U8>(const uint8_t* p, int n) {
  int32_t quad = 0;
  memcpy(&quad, p, static_cast<size_t>(n));
  return {_mm256_set1_epi32(quad)};
}
template <>
inline S8 load<S8>(const int8_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
template <>
inline S8 load_n<S8>(const int8_t* p, int n) {
  S8 r = {_mm256_setzero_si256()};
  memcpy(&r.v, p, static_cast<size_t>(n));
  return r;
}
template <>
inline I16 load<I16>(const int16_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
template <>
inline I16 load_n<I16>(const int16_t* p, int n) {
  I16 r = {_mm256_setzero_si256()};
  memcpy(&r.v, p, static_cast<size_t>(n) * sizeof(int16_t));
  return r;
}
template <>
inline I16 set1_pair<I16>(const int16_t* p) {
  int32_t pair;
  memcpy(&pair, p, sizeof pair);
  return {_mm256_set1_epi32(pair)};
}
template <>
inline I32 zero<I32>() {
  return {_mm256_setzero_si256()};
}
template <>
inline I32 set1<I32>(int32_t x) {
  return {_mm256_set1_epi32(x)};
}
template <>
inline I32 load<I32>(const int32_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p))};
}
inline void store(int32_t* p, I32 a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
inline F32 widen_bytes(__m128i bytes) { return {_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(bytes))}; }
template <>
inline F32 load<F32>(const uint8_t* p) {
  return widen_bytes(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p)));
}
template <>
inline F32 load_n<F32>(const uint8_t* p, int n) {
  uint64_t bytes = 0;
  memcpy(&bytes, p, static_cast<size_t>(n));
  return widen_bytes(_mm_cvtsi64_si128(static_cast<int64_t>(bytes)));
}
inline __m128i round_to_bytes(__m256 a) {
  const __m256i words = _mm256_cvtps_epi32(a);
  const __m128i halves =
      _mm_packs_epi32(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  return _mm_packus_epi16(halves, halves);
}
inline void store(uint8_t* p, F32 a) {
  _mm_storel_epi64(reinterpret_cast<__m128i*>(p), round_to_bytes(a.v));
}
inline void store_n(uint8_t* p, int n, F32 a) {
  const __m128i bytes = round_to_bytes(a.v);
  memcpy(p, &bytes, static_cast<size_t>(n));
}
inline void store(uint8_t* p, U8 a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
inline void store_halves(uint8_t* lower, uint8_t* upper, U8 a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(lower), _mm256_castsi256_si128(a.v));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(upper), _mm256_extracti128_si256(a.v, 1));
}
template <>
inline I16 load<I16>(const uint8_t* p) {
  return {_mm256_cvtepu8_epi16(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
template <>
inline I16 load_n<I16>(const uint8_t* p, int n) {
  __m128i bytes = _mm_setzero_si128();
  memcpy(&bytes, p, static_cast<size_t>(n));
  return {_mm256_cvtepu8_epi16(bytes)};
}
inline void store(int16_t* p, I16 a) { _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.v); }
inline F32 fma_exact(F32 a, F32 b, F32 c) { return fma(a, b, c); }
inline I32 add(I32 a, I32 b) { return {_mm256_add_epi32(a.v, b.v)}; }
// Instructions by name where they add to an accumulator: to GCC 12 an intrinsic's accumulator is a
// vector of other integers than its result, both of which it keeps around a loop until registers
// run out.
inline I32 dot(I16 a, I16 b, I32 c) {
  const __m256i products = _mm256_madd_epi16(a.v, b.v);
  asm("vpaddd %1, %0, %0" : "+x"(c.v) : "x"(products));
  return c;
}
#if defined(__AVXVNNI__)
constexpr bool kHasDot4 = true;
inline I32 dot4(U8 a, S8 b, I32 c) {
  asm("%{vex%} vpdpbusd %2, %1, %0" : "+x"(c.v) : "x"(a.v), "x"(b.v));
  return c;
}
#else
constexpr bool kHasDot4 = false;
// Bytes of even and of odd position, widened: sums of two products of bytes do not fit 16 bits.
inline I32 dot4(U8 a, S8 b, I32 c) {
  const I16 a_even = {_mm256_and_si256(a.v, _mm256_set1_epi16(0xFF))};
  const I16 a_odd = {_mm256_srli_epi16(a.v, 8)};
  const I16 b_even = {_mm256_srai_epi16(_mm256_slli_epi16(b.v, 8), 8)};
  const I16 b_odd = {_mm256_srai_epi16(b.v, 8)};
  return dot(a_even, b_even, dot(a_odd, b_odd, c));
}
#endif
inline int32_t reduce_add(I32 a) {
  const __m128i of_4 = _mm_add_epi32(_mm256_castsi256_si128(a.v), _mm256_extracti128_si256(a.v, 1));
  const __m128i of_2 = _mm_add_epi32(of_4, _mm_shuffle_epi32(of_4, 0x4E));
  return _mm_cvtsi128_si32(_mm_add_epi32(of_2, _mm_shuffle_epi32(of_2, 0xB1)));
}
inline F32 to_float(I32 a) { return {_mm256_cvtepi32_ps(a.v)}; }
inline I32 to_int(F32 a) { return {_mm256_cvtps_epi32(a.v)}; }
// Packing works within 128 bits: words of four bytes are then put in order.
inline U8 to_bytes(I32 a, I32 b, I32 c, I32 d) {
  const __m256i packed =
      _mm256_packus_epi16(_mm256_packs_epi32(a.v, b.v), _mm256_packs_epi32(c.v, d.v));
  return {_mm256_permutevar8x32_epi32(packed, _mm256_setr_epi32(0, 4, 1, 5, 2, 6, 3, 7))};
}
inline U8 max(U8 a, U8 b) { return {_mm256_max_epu8(a.v, b.v)}; }
inline void store_n(uint8_t* p, int n, U8 a) { memcpy(p, &a.v, static_cast<size_t>(n)); }
inline U8 min(U8 a, U8 b) { return {_mm256_min_epu8(a.v, b.v)}; }
inline I16 even_bytes(U8 a) { return {_mm256_and_si256(a.v, _mm256_set1_epi16(0xFF))}; }
inline I16 odd_bytes(U8 a) { return {_mm256_srli_epi16(a.v, 8)}; }
inline void transpose4(U8 a, U8 b, U8 c, U8 d, U8 (&part)[4]) {
  const __m256i ab_low = _mm256_unpacklo_epi8(a.v, b.v);
  const __m256i ab_high = _mm256_unpackhi_epi8(a.v, b.v);
  const __m256i cd_low = _mm256_unpacklo_epi8(c.v, d.v);
  const __m256i cd_high = _mm256_unpackhi_epi8(c.v, d.v);
  part[0].v = _mm256_unpacklo_epi16(ab_low, cd_low);
  part[1].v = _mm256_unpackhi_epi16(ab_low, cd_low);
  part[2].v = _mm256_unpacklo_epi16(ab_high, cd_high);
  part[3].v = _mm256_unpackhi_epi16(ab_high, cd_high);
}
inline I16 saturate(I32 a, I32 b) { return {_mm256_packs_epi32(a.v, b.v)}; }
inline U8 saturate(I16 a, I16 b) { return {_mm256_packus_epi16(a.v, b.v)}; }
inline void load_deinterleave2(const uint8_t* p, U8& even, U8& odd) {
  const U8 low = load<U8>(p);
  const U8 high = load<U8>(p + 32);
  constexpr int kInOrder = 0xD8;  // quarters 0, 2, 1, 3
  even.v = _mm256_permute4x64_epi64(saturate(even_bytes(low), even_bytes(high)).v, kInOrder);
  odd.v = _mm256_permute4x64_epi64(saturate(odd_bytes(low), odd_bytes(high)).v, kInOrder);
}
}  // namespace
}  // namespace lpn
