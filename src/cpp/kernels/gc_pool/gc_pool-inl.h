// The bodies of global-context pooling and its transform, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>
#include <float.h>
#include <math.h>

#include "kernels/gc_pool/gc_pool.h"
#include "kernels/reduce-inl.h"
#include "simd/exp-inl.h"

namespace lpn {
namespace {

// Rows at a time: eight chains, the latency (4) x throughput (2) of fma.
constexpr int kProductRows = 8 / kSumVectors;

// Lanes of sums[r] add up to x[r, :] . w for kRows rows of c elements.
template <int kRows, class T>
inline void row_products(const T* x, const float* w, int64_t c, F32* sums) {
  F32 sum[kRows][kSumVectors];
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
    for (int v = 0; v < kSumVectors; ++v) sum[r][v] = zero<F32>();
  }
  int64_t i = 0;
  for (; i + kSumLanes <= c; i += kSumLanes) {
#pragma GCC unroll 4
    for (int v = 0; v < kSumVectors; ++v) {
      const int64_t at = i + v * F32::kLanes;
      const F32 weight = load<F32>(w + at);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r)
        sum[r][v] = fma_exact(load<F32>(x + r * c + at), weight, sum[r][v]);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kSumVectors; ++v) {
    const int64_t at = i + v * F32::kLanes;
    if (at >= c) break;
    const int n = lanes_of(c - at);
    const F32 weight = load_n<F32>(w + at, n);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r)
      sum[r][v] = fma_exact(load_n<F32>(x + r * c + at, n), weight, sum[r][v]);
  }
#pragma GCC unroll 8
  for (int r = 0; r < kRows; ++r) sums[r] = add_halves(sum[r]);
}

// logits[p] = x[p, :] . w; returns the largest, or -FLT_MAX. NaNs are not compared.
template <class T>
inline float row_logits(const T* x, const float* w, int64_t positions, int64_t c, float* logits) {
  static_assert(F32::kLanes % kProductRows == 0, "a vector of logits at a time");
  F32 largest = set1<F32>(-FLT_MAX);
  int64_t p = 0;
  for (; p + F32::kLanes <= positions; p += F32::kLanes) {
    F32 sums[F32::kLanes];
#pragma GCC unroll 4
    for (int r = 0; r < F32::kLanes; r += kProductRows)
      row_products<kProductRows>(x + (p + r) * c, w, c, sums + r);
    const F32 of_rows = reduce_add_each(sums);
    store(logits + p, of_rows);
    largest = max(of_rows, largest);
  }
  float result = reduce_max(largest);
  for (; p < positions; ++p) {
    F32 sums;
    row_products<1>(x + p * c, w, c, &sums);
    logits[p] = reduce_add(sums);
    result = logits[p] > result ? logits[p] : result;
  }
  return result;
}

// logits[p] becomes e^(logits[p] - largest); returns their sum.
inline float exponentiate(float* logits, int64_t positions, float largest) {
  F32 sum[kSumVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kSumVectors; ++v) sum[v] = zero<F32>();
  int64_t p = 0;
  for (; p + kSumLanes <= positions; p += kSumLanes) {
#pragma GCC unroll 4
    for (int v = 0; v < kSumVectors; ++v) {
      float* const at = logits + p + v * F32::kLanes;
      const F32 e = exp_nonpositive<fma_exact>(sub(load<F32>(at), set1<F32>(largest)));
      store(at, e);
      sum[v] = add(sum[v], e);
    }
  }
#pragma GCC unroll 4
  for (int v = 0; v < kSumVectors; ++v, p += F32::kLanes) {
    if (p >= positions) break;
    const int n = lanes_of(positions - p);
    // Lanes beyond n hold 0 - largest, which may be a positive number too large to convert.
    const F32 x = min(zero<F32>(), sub(load_n<F32>(logits + p, n), set1<F32>(largest)));
    store_n(logits + p, n, exp_nonpositive<fma_exact>(x));
    sum[v] = add(sum[v], load_n<F32>(logits + p, n));
  }
  return reduce_add(add_halves(sum));
}

// values[i] *= e^exponent for an exponent <= 0; returns the factor.
inline float scale(float* values, int64_t count, float exponent) {
  float factor;
  store_n(&factor, 1, exp_nonpositive<fma_exact>(set1<F32>(exponent)));
  for (int64_t i = 0; i < count; ++i) values[i] *= factor;
  return factor;
}

// Positions that are summed up while they are still in L1, where their logits brought them: 16 KiB,
// a multiple of every tier's lanes, and no more than one float accumulator takes.
inline int64_t block_positions(int64_t c) {
  constexpr int64_t kFloats = 4096;
  constexpr int64_t kLeast = 16;
  const int64_t positions = kFloats / c / kLeast * kLeast;
  if (positions < kLeast) return kLeast;
  return positions < kPositionsPerSum ? positions : kPositionsPerSum;
}

// Block by block; where a block's maximum is a new one, the sums so far are scaled down to it.
template <class T>
inline void gc_pool(const GcPoolArgs<T>& args) {
  assert(args.positions >= 0 && args.c >= 1);
  assert(args.x != nullptr && args.w != nullptr && args.logits != nullptr);
  assert(args.partial != nullptr);
  const int64_t block = block_positions(args.c);
  float* sums = args.partial + 2;
  for (int64_t j = 0; j < args.c; ++j) sums[j] = 0;
  float largest = -FLT_MAX;
  float sum = 0;
  for (int64_t begin = 0; begin < args.positions; begin += block) {
    const T* x = args.x + begin * args.c;
    const int64_t count = args.positions - begin < block ? args.positions - begin : block;
    const float of_block = row_logits(x, args.w, count, args.c, args.logits);
    if (of_block > largest) {
      if (begin > 0) sum *= scale(sums, args.c, largest - of_block);
      largest = of_block;
    }
    sum += exponentiate(args.logits, count, largest);
    row_sums<true>(x, args.logits, count, args.c, sums);
  }
  args.partial[0] = largest;
  args.partial[1] = sum;
}

inline void gc_transform(const GcTransformArgs& args) {
  assert(args.c_in >= 1 && args.hidden >= 1 && args.c_out >= 1 && args.epsilon >= 0);
  assert(args.context != nullptr && args.scratch != nullptr && args.out != nullptr);
  assert(args.w1 != nullptr && args.b1 != nullptr && args.w2 != nullptr && args.b2 != nullptr);
  assert(args.norm_w != nullptr && args.norm_b != nullptr);
  const auto add_b1 = [&](F32 v, int64_t j, int n) { return add(v, load_n<F32>(args.b1 + j, n)); };
  vector_matrix(args.context, args.w1, args.c_in, args.hidden, add_b1, args.scratch);
  // A few dozen values: double costs nothing here and keeps the variance of nearly equal ones.
  double mean = 0;
  for (int64_t i = 0; i < args.hidden; ++i) mean += static_cast<double>(args.scratch[i]);
  mean /= static_cast<double>(args.hidden);
  double variance = 0;
  for (int64_t i = 0; i < args.hidden; ++i) {
    const double d = static_cast<double>(args.scratch[i]) - mean;
    variance += d * d;
  }
  variance /= static_cast<double>(args.hidden);
  const double inverse = 1.0 / sqrt(variance + static_cast<double>(args.epsilon));
  for (int64_t i = 0; i < args.hidden; ++i) {
    const double normal = (static_cast<double>(args.scratch[i]) - mean) * inverse;
    const double value =
        normal * static_cast<double>(args.norm_w[i]) + static_cast<double>(args.norm_b[i]);
    args.scratch[i] = value < 0 ? 0.0f : static_cast<float>(value);
  }
  const auto add_base = [&](F32 v, int64_t j, int n) {
    v = add(v, load_n<F32>(args.b2 + j, n));
    return args.base == nullptr ? v : add(v, load_n<F32>(args.base + j, n));
  };
  vector_matrix(args.scratch, args.w2, args.hidden, args.c_out, add_base, args.out);
}

}  // namespace
}  // namespace lpn
