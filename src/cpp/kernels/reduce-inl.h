// Sums over positions and vector-matrix products, which the attention operators share. Include
// after a vec_*.h.
#pragma once

#include <stdint.h>

namespace lpn {
namespace {

// Sums across lanes are of sixteen partial sums on every tier, added by halves: that order gives
// the same bits wherever fma rounds once.
constexpr int kSumLanes = 16;
constexpr int kSumVectors = kSumLanes / F32::kLanes;

// The first steps, down to one vector, which reduce_add takes on.
inline F32 add_halves(F32 (&sum)[kSumVectors]) {
#pragma GCC unroll 2
  for (int half = kSumVectors / 2; half > 0; half /= 2) {
#pragma GCC unroll 2
    for (int v = 0; v < half; ++v) sum[v] = add(sum[v], sum[v + half]);
  }
  return sum[0];
}

// The lanes of a vector of which `left` are wanted.
inline int lanes_of(int64_t left) {
  return static_cast<int>(left < F32::kLanes ? left : F32::kLanes);
}

// Positions that one float accumulator takes before it is added to the next level, so that rounding
// grows with 64 + positions / 64 and not with the number of positions.
constexpr int64_t kPositionsPerSum = 64;

// kVectors vectors of channels of row_sums, `n` lanes of the last one when kPartial.
template <int kVectors, bool kPartial, bool kWeighted, class T>
inline void row_sums_block(const T* x, const float* weights, int64_t positions, int64_t c, int n,
                           float* out) {
  const auto read = [n](const auto* p) { return kPartial ? load_n<F32>(p, n) : load<F32>(p); };
  F32 total[kVectors];
#pragma GCC unroll 8
  for (int v = 0; v < kVectors; ++v)
    total[v] = kWeighted ? read(out + v * F32::kLanes) : zero<F32>();
  for (int64_t begin = 0; begin < positions; begin += kPositionsPerSum) {
    const int64_t end = begin + kPositionsPerSum < positions ? begin + kPositionsPerSum : positions;
    F32 sum[kVectors];
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) sum[v] = zero<F32>();
    for (int64_t p = begin; p < end; ++p) {
      const F32 weight = kWeighted ? set1<F32>(weights[p]) : zero<F32>();
#pragma GCC unroll 8
      for (int v = 0; v < kVectors; ++v) {
        const F32 value = read(x + p * c + v * F32::kLanes);
        sum[v] = kWeighted ? fma_exact(weight, value, sum[v]) : add(value, sum[v]);
      }
    }
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) total[v] = add(total[v], sum[v]);
  }
  for (int v = 0; v < kVectors; ++v) {
    if (kPartial) {
      store_n(out + v * F32::kLanes, n, total[v]);
    } else {
      store(out + v * F32::kLanes, total[v]);
    }
  }
}

// out[c] += sum_p weights[p] x[p, c] when kWeighted, else out[c] = sum_p x[p, c]. Eight vectors of
// channels at a time: as many chains as the latency (4) x throughput (2) of fma.
template <bool kWeighted, class T>
inline void row_sums(const T* x, const float* weights, int64_t positions, int64_t c, float* out) {
  int64_t channel = 0;
  for (; channel + 8 * F32::kLanes <= c; channel += 8 * F32::kLanes) {
    row_sums_block<8, false, kWeighted>(x + channel, weights, positions, c, F32::kLanes,
                                        out + channel);
  }
  for (; channel + 4 * F32::kLanes <= c; channel += 4 * F32::kLanes) {
    row_sums_block<4, false, kWeighted>(x + channel, weights, positions, c, F32::kLanes,
                                        out + channel);
  }
  for (; channel + F32::kLanes <= c; channel += F32::kLanes) {
    row_sums_block<1, false, kWeighted>(x + channel, weights, positions, c, F32::kLanes,
                                        out + channel);
  }
  if (channel < c) {
    const int n = static_cast<int>(c - channel);
    row_sums_block<1, true, kWeighted>(x + channel, weights, positions, c, n, out + channel);
  }
}

// sum_i x[i] * w[i, column..column + n - 1] for w of `rows` rows, `columns` apart: four chains,
// since one would wait for the latency of fma on every row.
inline F32 column_products(const float* x, const float* w, int64_t rows, int64_t columns,
                           int64_t column, int n) {
  const auto read = [n](const float* p) {
    return n == F32::kLanes ? load<F32>(p) : load_n<F32>(p, n);
  };
  F32 sum[4] = {zero<F32>(), zero<F32>(), zero<F32>(), zero<F32>()};
  int64_t i = 0;
  for (; i + 4 <= rows; i += 4) {
#pragma GCC unroll 4
    for (int v = 0; v < 4; ++v)
      sum[v] = fma_exact(set1<F32>(x[i + v]), read(w + (i + v) * columns + column), sum[v]);
  }
  for (; i < rows; ++i) sum[0] = fma_exact(set1<F32>(x[i]), read(w + i * columns + column), sum[0]);
  return add(add(sum[0], sum[1]), add(sum[2], sum[3]));
}

// out[j] = finish(sum_i x[i] * w[i, j], j, lanes); `finish` reads what else it needs at j, `lanes`
// of it.
template <class Finish>
inline void vector_matrix(const float* x, const float* w, int64_t rows, int64_t columns,
                          const Finish& finish, float* out) {
  int64_t column = 0;
  for (; column + F32::kLanes <= columns; column += F32::kLanes) {
    store(out + column,
          finish(column_products(x, w, rows, columns, column, F32::kLanes), column, F32::kLanes));
  }
  if (column < columns) {
    const int n = static_cast<int>(columns - column);
    store_n(out + column, n, finish(column_products(x, w, rows, columns, column, n), column, n));
  }
}

}  // namespace
}  // namespace lpn
