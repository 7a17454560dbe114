// Sums of products of bytes, four at a time, and what becomes of them. Include after a vec_*.h.
#pragma once

#include <stdint.h>
#include <string.h>

#include "kernels/inline_body.h"
#include "kernels/quads.h"

namespace lpn {
namespace {

// What a kernel of this instruction set reads.
constexpr QuadLayout kQuadLayout = {U8::kLanes, !kHasDot4};
constexpr bool is_layout_of(Isa isa) {
  return quad_layout(isa).lanes == kQuadLayout.lanes && quad_layout(isa).words == kQuadLayout.words;
}
constexpr int64_t kVectorBytes = quad_vector_bytes(kQuadLayout);

// One of the four vectors of a quad, and its weights. Without an instruction for four products,
// words are multiplied in pairs, and those of the weights are packed so.
struct WordPairs {
  I16 even, odd;
};
template <bool kDot4>
struct QuadVectors {
  using Terms = U8;
  using Weights = S8;

  static Terms terms(U8 a) { return a; }
  static Weights weights(const int8_t* w) { return load<S8>(w); }
};
template <>
struct QuadVectors<false> {
  using Terms = WordPairs;
  using Weights = WordPairs;

  static Terms terms(U8 a) { return {even_bytes(a), odd_bytes(a)}; }
  static Weights weights(const int8_t* w) {
    return {load<I16>(reinterpret_cast<const int16_t*>(w)),
            load<I16>(reinterpret_cast<const int16_t*>(w + kVectorBytes / 2))};
  }
};
using Quad = QuadVectors<kHasDot4>;

inline I32 add_quad(U8 a, S8 b, I32 c) { return dot4(a, b, c); }
inline I32 add_quad(const WordPairs& a, const WordPairs& b, I32 c) {
  return dot(a.even, b.even, dot(a.odd, b.odd, c));
}

// Four vectors of bytes, transposed.
struct QuadColumn {
  U8 part[kQuadVectors];
};

// A value per channel of a block, in the order of quads.
struct QuadFloats {
  F32 part[kQuadVectors];
};

// The `n` values at p, and zeros.
inline QuadFloats quad_floats(const float* p, int64_t n) {
  float values[kQuadVectors][F32::kLanes];
  if (n == U8::kLanes) {
    for (int64_t s = 0; s < kQuadVectors; ++s) {
      for (int64_t lane = 0; lane < F32::kLanes; lane += 4)
        memcpy(values[s] + lane, p + quad_channel(s, lane), 4 * sizeof(float));
    }
    return {
        {load<F32>(values[0]), load<F32>(values[1]), load<F32>(values[2]), load<F32>(values[3])}};
  }
  for (int64_t s = 0; s < kQuadVectors; ++s) {
    for (int64_t lane = 0; lane < F32::kLanes; ++lane) {
      const int64_t channel = quad_channel(s, lane);
      values[s][lane] = channel < n ? p[channel] : 0.0f;
    }
  }
  QuadFloats result;
  for (int s = 0; s < kQuadVectors; ++s) result.part[s] = load<F32>(values[s]);
  return result;
}

// What follows the sums of a block's channels: multiplied, biased, rounded and clamped.
struct ByteEpilogue {
  QuadFloats multiplier, bias;
  U8 least, most;
  int n;  // channels that exist
};

// round(sum * multiplier + bias) of a quad's s-th vector.
inline I32 quantize(I32 sum, const ByteEpilogue& epilogue, int s) {
  return to_int(fma_exact(to_float(sum), epilogue.multiplier.part[s], epilogue.bias.part[s]));
}

// The bytes of words in the order of quads, in that of channels.
inline U8 clamp_bytes(I16 first, I16 second, const ByteEpilogue& epilogue) {
  return min(max(saturate(first, second), epilogue.least), epilogue.most);
}

}  // namespace
}  // namespace lpn
