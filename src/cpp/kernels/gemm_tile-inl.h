// The register tile that pointwise and dense convolution share. Include after a vec_*.h.
#pragma once

#include <math.h>
#include <stdint.h>

#include "kernels/activation.h"
#include "kernels/inline_body.h"
#include "kernels/term_group.h"
#include "simd/flush_subnormals.h"

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

// What terms of type T are multiplied by, the vectors of both, floats or groups of narrower
// numbers, and of their sums, whether a group is multiplied at once, whether a row may end within
// one, and the mode in which a product computes. 16-bit integers are bytes that are widened, where
// no instruction takes four of them.
template <class T>
struct Terms;
template <>
struct Terms<float> {
  using Mode = CallersMode;
  using Vector = F32;
  using Weight = float;
  using Weights = F32;
  using Sum = F32;
  static constexpr bool kAtOnce = true;
  static constexpr bool kRagged = false;
};
template <>
struct Terms<Bfloat16> {
  using Mode = FlushSubnormals;
  using Vector = BF16;
  using Weight = Bfloat16;
  using Weights = BF16;
  using Sum = F32;
  static constexpr bool kAtOnce = kHasDot;
  static constexpr bool kRagged = true;
};
template <>
struct Terms<uint8_t> {
  using Mode = CallersMode;
  using Vector = U8;
  using Weight = int8_t;
  using Weights = S8;
  using Sum = I32;
  static constexpr bool kAtOnce = true;
  static constexpr bool kRagged = true;
};
template <>
struct Terms<int16_t> {
  using Mode = CallersMode;
  using Vector = I16;
  using Weight = int16_t;
  using Weights = I16;
  using Sum = I32;
  static constexpr bool kAtOnce = true;
  static constexpr bool kRagged = false;
};
template <class T>
using WeightOf = typename Terms<T>::Weight;

inline F32 multiply_add(F32 a, F32 b, F32 c) { return fma(a, b, c); }
inline F32 multiply_add(BF16 a, BF16 b, F32 c) { return dot(a, b, c); }
inline I32 multiply_add(U8 a, S8 b, I32 c) { return dot4(a, b, c); }
inline I32 multiply_add(I16 a, I16 b, I32 c) { return dot(a, b, c); }

template <class Sum, int kRows, int kVectors>
inline void copy(const Sum (&from)[kRows][kVectors], Sum (&to)[kRows][kVectors]) {
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 12
    for (int v = 0; v < kVectors; ++v) to[r][v] = from[r][v];
  }
}

// A group of terms in every lane: all that a group holds, or the terms that are left and zeros.
struct FullGroup {
  F32 broadcast(const float* p) const { return set1<F32>(*p); }
  BF16 broadcast(const Bfloat16* p) const { return set1_pair<BF16>(p); }
  U8 broadcast(const uint8_t* p) const { return set1_quad<U8>(p); }
  I16 broadcast(const int16_t* p) const { return set1_pair<I16>(p); }
};
struct LastGroup {
  int terms;

  BF16 broadcast(const Bfloat16* p) const { return set1_single<BF16>(p); }
  U8 broadcast(const uint8_t* p) const { return set1_first<U8>(p, terms); }
};

// What of a group is multiplied at once.
struct WholeGroup {
  template <class Vector>
  static Vector of(Vector group) {
    return group;
  }
};
struct SecondOfPairs {
  static F32 of(BF16 pairs) { return odd_lanes(pairs); }
};
struct FirstOfPairs {
  static F32 of(BF16 pairs) { return even_lanes(pairs); }
};

// acc[r][v] += part of a group of row r of `a` * part of the v-th vector of b
template <class Part, class Group, class Sum, int kRows, int kVectors, class T>
LPN_INLINE_BODY inline void add_products(Group group, Sum (&acc)[kRows][kVectors], const T* a,
                                         int64_t a_stride, const WeightOf<T>* b) {
  using Weights = typename Terms<T>::Weights;
  decltype(Part::of(Weights{})) weight[kVectors];
#pragma GCC unroll 12
  for (int v = 0; v < kVectors; ++v) weight[v] = Part::of(load<Weights>(b + v * Weights::kLanes));
  // Four rows have one address, where there are not registers for one each.
  constexpr int kSharing = kRows > kTileRows ? 4 : kRows;
  const T* row = a;
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
    if (kSharing < kRows && r % kSharing == 0) row = reload_from(a + r * a_stride);
    const auto value = Part::of(group.broadcast(row + r % kSharing * a_stride));
#pragma GCC unroll 12
    for (int v = 0; v < kVectors; ++v) acc[r][v] = multiply_add(value, weight[v], acc[r][v]);
  }
}

// One group of terms. Where no instruction takes a pair, all second numbers come before the first
// ones, the order of dot(): then no more registers hold weights than of floats.
template <class Group, class Sum, int kRows, int kVectors, class T>
LPN_INLINE_BODY inline void add_group(Group group, Sum (&acc)[kRows][kVectors], const T* a,
                                      int64_t a_stride, const WeightOf<T>* b) {
  if constexpr (Terms<T>::kAtOnce) {
    add_products<WholeGroup>(group, acc, a, a_stride, b);
  } else {
    add_products<SecondOfPairs>(group, acc, a, a_stride, b);
    add_products<FirstOfPairs>(group, acc, reload_from(a), a_stride, reload_from(b));
  }
}

// acc[r][v] += sum_t a[r * a_stride + t] * b[t, v] of a panel's columns (kernels/panel.h), one
// chain of fma, dot or dot4 per accumulator in ascending t. Two groups of terms a turn share the
// loop's own instructions; whether there is anything to fetch is not asked, as a branch costs more
// than a fetch. (Not always_inline: GCC 12 then finds that prefetch_l2 has no effect, and drops
// it.)
template <class Sum, int kRows, int kVectors, class T, class Fetch>
inline void accumulate(Sum (&acc)[kRows][kVectors], const T* a, int64_t a_stride,
                       const WeightOf<T>* b, int64_t k, Fetch ahead) {
  constexpr int kGroup = kTermGroup<T>;
  Sum sum[kRows][kVectors];  // out of line, what is behind a reference would be stored every turn
  copy(acc, sum);
  int64_t t = 0;
  if constexpr (kVectorRegisters >= 16) {  // fewer would spill more of a tile that is in memory
    for (; t + 2 * kGroup <= k; t += 2 * kGroup) {
      fetch(ahead, t / (2 * kGroup));
      add_group(FullGroup{}, sum, a + t, a_stride, b + t * kPanel);
      add_group(FullGroup{}, sum, a + t + kGroup, a_stride, b + (t + kGroup) * kPanel);
    }
  }
  for (; t + kGroup <= k; t += kGroup) add_group(FullGroup{}, sum, a + t, a_stride, b + t * kPanel);
  if constexpr (Terms<T>::kRagged) {
    const LastGroup last = {static_cast<int>(k - t)};
    if (t < k) add_group(last, sum, a + t, a_stride, b + t * kPanel);
  }
  copy(sum, acc);
}

template <class Sum, int kRows, int kVectors>
inline void clear(Sum (&acc)[kRows][kVectors]) {
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 12
    for (int v = 0; v < kVectors; ++v) acc[r][v] = zero<Sum>();
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
