// The register tile that pointwise and dense convolution share. Include after a vec_*.h.
#pragma once

#include <math.h>
#include <stdint.h>

#include "kernels/activation.h"
#include "kernels/inline_body.h"

namespace lpn {
namespace {

constexpr int kTileRows = 6;
constexpr int kPanel = kTileVectors * F32::kLanes;
constexpr int64_t kCacheLine = 64;  // bytes

// What follows the sum, per output column; null pointers are skipped.
struct Epilogue {
  const float* bias;
  const float* scale;
  Activation activation;
};

// v second: max and min then keep a NaN.
inline F32 activate(F32 v, Activation activation) {
  if (activation == Activation::kNone) return v;
  v = max(zero<F32>(), v);
  return activation == Activation::kRelu6 ? min(set1<F32>(6.0f), v) : v;
}

// Memory to fetch into L2 while something else is computed: from `first` on, `step` bytes (at most
// a cache line) with every two terms. With a step of 0 it should be a line at hand.
struct Ahead {
  const void* first;
  int64_t step;
};
struct NothingAhead {};

inline void fetch(NothingAhead, int64_t) {}
inline void fetch(Ahead ahead, int64_t turn) {
  prefetch_l2(static_cast<const char*>(ahead.first) + turn * ahead.step);
}

// acc[r][v] += sum_t a[r * a_stride + t] * b[t * kPanel + v], one fma chain per accumulator in
// ascending t. Two terms a turn share the loop's own instructions; whether there is anything to
// fetch is not asked, as a branch costs more than a fetch. (Not always_inline: GCC 12 then finds
// that prefetch_l2 has no effect, and drops it.)
template <int kRows, int kVectors, class Fetch>
inline void accumulate(F32 (&acc)[kRows][kVectors], const float* a, int64_t a_stride,
                       const float* b, int64_t k, Fetch ahead) {
  const auto add_term = [&acc, a, a_stride, b](int64_t t) LPN_INLINE_BODY {
    F32 weight[kVectors];
#pragma GCC unroll 12
    for (int v = 0; v < kVectors; ++v) weight[v] = load<F32>(b + t * kPanel + v * F32::kLanes);
#pragma GCC unroll 12
    for (int r = 0; r < kRows; ++r) {
      const F32 value = set1<F32>(a[r * a_stride + t]);
#pragma GCC unroll 12
      for (int v = 0; v < kVectors; ++v) acc[r][v] = fma(value, weight[v], acc[r][v]);
    }
  };
  int64_t t = 0;
  if constexpr (kVectorRegisters < 16) {  // two terms would spill more of a tile that is in memory
    for (; t < k; ++t) add_term(t);
  } else {
    for (; t + 2 <= k; t += 2) {
      fetch(ahead, t / 2);
      add_term(t);
      add_term(t + 1);
    }
    if (t < k) add_term(t);
  }
}

template <int kRows, int kVectors>
inline void clear(F32 (&acc)[kRows][kVectors]) {
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 12
    for (int v = 0; v < kVectors; ++v) acc[r][v] = zero<F32>();
  }
}

// Stores one vector of one row: act((acc + bias) * scale + residual). `n` lanes when kPartial, else
// all.
template <bool kPartial, class Out>
inline void finish(F32 acc, const Epilogue& epilogue, int64_t column, const Out* residual, Out* out,
                   int n) {
  const auto read = [n](const auto* p) { return kPartial ? load_n<F32>(p, n) : load<F32>(p); };
  if (epilogue.bias != nullptr) acc = add(acc, read(epilogue.bias + column));
  if (epilogue.scale != nullptr) acc = mul(acc, read(epilogue.scale + column));
  if (residual != nullptr) acc = add(acc, read(residual + column));
  acc = activate(acc, epilogue.activation);
  if (kPartial) {
    store_n(out + column, n, acc);
  } else {
    store(out + column, acc);
  }
}

// act(acc + bias + residual) of whole vectors, without a branch: the bias stays in registers,
// adding -0 changes nothing, and neither does a maximum with -infinity.
template <bool kResidual, int kRows, int kVectors, class Out>
inline void store_whole_tile(const F32 (&acc)[kRows][kVectors], const Epilogue& epilogue,
                             int64_t column, const Out* residual, int64_t ld_residual, Out* out,
                             int64_t ld_out) {
  const F32 least = set1<F32>(epilogue.activation == Activation::kNone ? -INFINITY : 0.0f);
  F32 bias[kVectors];
#pragma GCC unroll 12
  for (int v = 0; v < kVectors; ++v) {
    bias[v] = epilogue.bias == nullptr ? set1<F32>(-0.0f)
                                       : load<F32>(epilogue.bias + column + v * F32::kLanes);
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 12
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = column + v * F32::kLanes;
      F32 sum = add(acc[r][v], bias[v]);
      if (kResidual) sum = add(sum, load<F32>(residual + r * ld_residual + at));
      store(out + r * ld_out + at, max(least, sum));
    }
  }
}

// Writes a tile whose first column is `column` and which covers `columns` <= kVectors * kLanes of
// them.
template <int kRows, int kVectors, class Out>
inline void store_tile(const F32 (&acc)[kRows][kVectors], const Epilogue& epilogue, int64_t column,
                       int64_t columns, const Out* residual, int64_t ld_residual, Out* out,
                       int64_t ld_out) {
  const int last =
      static_cast<int>(columns - (kVectors - 1) * F32::kLanes);  // lanes of the last vector
  const bool usual = epilogue.scale == nullptr && epilogue.activation != Activation::kRelu6;
  if (usual && last == F32::kLanes) {
    if (residual == nullptr)
      return store_whole_tile<false>(acc, epilogue, column, residual, 0, out, ld_out);
    return store_whole_tile<true>(acc, epilogue, column, residual, ld_residual, out, ld_out);
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    const Out* residual_row = residual == nullptr ? nullptr : residual + r * ld_residual;
#pragma GCC unroll 12
    for (int v = 0; v < kVectors; ++v) {
      if (v == kVectors - 1 && last < F32::kLanes) {
        finish<true>(acc[r][v], epilogue, column + v * F32::kLanes, residual_row, out + r * ld_out,
                     last);
      } else {
        finish<false>(acc[r][v], epilogue, column + v * F32::kLanes, residual_row, out + r * ld_out,
                      F32::kLanes);
      }
    }
  }
}

}  // namespace
}  // namespace lpn
