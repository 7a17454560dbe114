// The product's body, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>

#include "kernels/matmul/matmul.h"

namespace lpn {
namespace {

// With two vectors of columns or more that is 8 independent chains, latency (4) x throughput (2) of
// the fma units, and divides the hidden layers of 16 and 32 units.
constexpr int kMatmulRows = 4;

// `kRows` rows of `out` from `a`, in `kVectors` vectors of columns from `column` on; the sums stay
// in registers. Of the last vector, the first `last` lanes are there.
template <int kRows, int kVectors>
inline void matmul_tile(const MatmulArgs& args, int64_t row, int64_t column, int last) {
  const double* a = args.a + row * args.depth;
  const float* b = args.b + column;
  F64 sum[kRows][kVectors];
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) sum[i][v] = zero<F64>();
  }
  for (int64_t k = 0; k < args.depth; ++k, b += args.columns) {
    F64 term[kVectors];
#pragma GCC unroll 4
    for (int v = 0; v < kVectors - 1; ++v) term[v] = widen(b + v * F64::kLanes);
    term[kVectors - 1] = widen_n(b + (kVectors - 1) * F64::kLanes, last);
#pragma GCC unroll 4
    for (int i = 0; i < kRows; ++i) {
      const F64 factor = set1<F64>(a[i * args.depth + k]);
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) sum[i][v] = fma(factor, term[v], sum[i][v]);
    }
  }
#pragma GCC unroll 4
  for (int i = 0; i < kRows; ++i) {
    double* out = args.out + (row + i) * args.columns + column;
#pragma GCC unroll 4
    for (int v = 0; v < kVectors - 1; ++v) store(out + v * F64::kLanes, sum[i][v]);
    store_n(out + (kVectors - 1) * F64::kLanes, last, sum[i][kVectors - 1]);
  }
}

template <int kVectors>
inline void matmul_columns(const MatmulArgs& args, int64_t column, int last) {
  int64_t row = 0;
  for (; row + kMatmulRows <= args.rows; row += kMatmulRows)
    matmul_tile<kMatmulRows, kVectors>(args, row, column, last);
  for (; row < args.rows; ++row) matmul_tile<1, kVectors>(args, row, column, last);
}

inline void matmul(const MatmulArgs& args) {
  assert(args.rows >= 1 && args.depth >= 1 && args.columns >= 1);
  assert(args.a != nullptr && args.b != nullptr && args.out != nullptr);
  constexpr int64_t kTile = kTileVectors * F64::kLanes;
  int64_t column = 0;
  for (; column + kTile <= args.columns; column += kTile)
    matmul_columns<kTileVectors>(args, column, F64::kLanes);
  for (; column < args.columns; column += F64::kLanes) {
    const int64_t left = args.columns - column;
    matmul_columns<1>(args, column, left < F64::kLanes ? static_cast<int>(left) : F64::kLanes);
  }
}

}  // namespace
}  // namespace lpn
