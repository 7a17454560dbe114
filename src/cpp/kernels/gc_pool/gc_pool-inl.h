// The bodies of global-context pooling and its transform, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>
#include <math.h>

#include "kernels/gc_pool/gc_pool.h"
#include "kernels/reduce-inl.h"
#include "simd/exp-inl.h"

namespace lpn {
namespace {

// out[r] = x[r, :] . w for kRows rows of c floats: kRows * 2 chains cover the latency (4) x
// throughput (2) of fma.
template <int kRows>
inline void row_logits(const float* x, const float* w, int64_t c, float* out) {
  F32 sum[kRows][2];
  for (int r = 0; r < kRows; ++r) sum[r][0] = sum[r][1] = zero<F32>();
  int64_t i = 0;
  for (; i + 2 * F32::kLanes <= c; i += 2 * F32::kLanes) {
    const F32 w0 = load<F32>(w + i);
    const F32 w1 = load<F32>(w + i + F32::kLanes);
#pragma GCC unroll 4
    for (int r = 0; r < kRows; ++r) {
      sum[r][0] = fma(load<F32>(x + r * c + i), w0, sum[r][0]);
      sum[r][1] = fma(load<F32>(x + r * c + i + F32::kLanes), w1, sum[r][1]);
    }
  }
  for (; i < c; i += F32::kLanes) {
    const int n = static_cast<int>(c - i < F32::kLanes ? c - i : F32::kLanes);
    const F32 w0 = load_n<F32>(w + i, n);
    for (int r = 0; r < kRows; ++r) sum[r][0] = fma(load_n<F32>(x + r * c + i, n), w0, sum[r][0]);
  }
  for (int r = 0; r < kRows; ++r) out[r] = reduce_add(add(sum[r][0], sum[r][1]));
}

// logits[p] becomes e^(logits[p] - largest); returns their sum.
inline float exponentiate(float* logits, int64_t positions, float largest) {
  F32 sum = zero<F32>();
  int64_t p = 0;
  for (; p + F32::kLanes <= positions; p += F32::kLanes) {
    const F32 e = exp_nonpositive(sub(load<F32>(logits + p), set1<F32>(largest)));
    store(logits + p, e);
    sum = add(sum, e);
  }
  float result = reduce_add(sum);
  if (p < positions) {
    const int n = static_cast<int>(positions - p);
    // Lanes beyond n hold 0 - largest, which may be a positive number too large to convert.
    const F32 x = min(zero<F32>(), sub(load_n<F32>(logits + p, n), set1<F32>(largest)));
    store_n(logits + p, n, exp_nonpositive(x));
    for (; p < positions; ++p) result += logits[p];
  }
  return result;
}

inline void gc_pool(const GcPoolArgs& args) {
  assert(args.positions >= 0 && args.c >= 1);
  assert(args.x != nullptr && args.w != nullptr && args.logits != nullptr);
  assert(args.partial != nullptr);
  int64_t p = 0;
  for (; p + 4 <= args.positions; p += 4)
    row_logits<4>(args.x + p * args.c, args.w, args.c, args.logits + p);
  for (; p < args.positions; ++p)
    row_logits<1>(args.x + p * args.c, args.w, args.c, args.logits + p);
  float largest = -INFINITY;
  for (p = 0; p < args.positions; ++p)
    largest = args.logits[p] > largest ? args.logits[p] : largest;
  args.partial[0] = largest;
  args.partial[1] = exponentiate(args.logits, args.positions, largest);
  row_sums<true>(args.x, args.logits, args.positions, args.c, args.partial + 2);
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
