// The pointwise kernel's body, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>

#include "kernels/gemm_tile-inl.h"
#include "kernels/pointwise/pointwise.h"

namespace lpn {
namespace {

// What a product's rows are multiplied as. A Product is PointwiseArgs of floats or bfloat16, or the
// QuantizedProduct of quantized-inl.h; there is a finish_tile and a finish_lone for each.
template <class Product>
using TermOf = typename Product::Term;

// The weights that follow a panel, shared out evenly over the panel's row tiles.
struct PanelAhead {
  const char* begin;
  int64_t size, per_tile, step;  // bytes

  // `panel` is what the tile has at hand.
  Ahead of_tile(int64_t tile, const void* panel) const {
    const int64_t offset = tile * per_tile;
    return offset < size ? Ahead{begin + offset, step} : Ahead{panel, 0};
  }
};

// After a panel comes the next one of this product or its lone column, after the last one what the
// caller names. There must be rows. Fewer than eight tiles do not get round to all of it.
template <class Product>
inline PanelAhead panel_ahead(const Product& args, int64_t column, int64_t tile_rows) {
  using Term = TermOf<Product>;
  const int64_t terms = grouped_terms<Term>(args.k);
  const int64_t left = args.n - column - kPanel;
  const bool last = left <= 0;
  const void* next = last ? args.next_weights : args.packed_b + (column + kPanel) * terms;
  const int64_t next_columns = left == 1 && has_lone_column(args.n) ? 1 : kPanel;
  const int64_t size =
      last ? args.next_bytes : next_columns * terms * static_cast<int64_t>(sizeof(WeightOf<Term>));
  const int64_t tiles = (args.m + tile_rows - 1) / tile_rows;
  const int64_t lines_per_tile = (size + tiles * kCacheLine - 1) / (tiles * kCacheLine);
  const int64_t turns = (terms / kTermGroup<Term> + 1) / 2;
  const int64_t step = (lines_per_tile * kCacheLine + turns - 1) / turns;
  return {static_cast<const char*>(next), size, lines_per_tile * kCacheLine,
          step < kCacheLine ? step : kCacheLine};
}

template <int kRows, int kVectors, class In, class Out>
LPN_INLINE_BODY inline void finish_tile(const PointwiseArgs<In, Out>& args,
                                        const F32 (&acc)[kRows][kVectors], int64_t row,
                                        int64_t column, int64_t columns) {
  const Out* residual = args.residual == nullptr ? nullptr : args.residual + row * args.ld_residual;
  store_tile(acc, Epilogue{args.bias, args.scale, args.activation}, column, columns, residual,
             args.ld_residual, args.out + row * args.ld_out, args.ld_out);
}

template <class In, class Out>
inline void finish_lone(const PointwiseArgs<In, Out>& args, F32 sum, int64_t row) {
  const Out* residual = args.residual == nullptr ? nullptr : args.residual + row * args.ld_residual;
  finish<true>(sum, Epilogue{args.bias, args.scale, args.activation}, args.n - 1, residual,
               args.out + row * args.ld_out, 1);
}

// In line: between two tiles every instruction counts that is not theirs.
template <int kRows, int kVectors, class Product, class Fetch>
LPN_INLINE_BODY inline void pointwise_tile(const Product& args, int64_t row, int64_t column,
                                           int64_t columns, const WeightOf<TermOf<Product>>* panel,
                                           Fetch ahead) {
  typename Terms<TermOf<Product>>::Sum acc[kRows][kVectors];
  clear(acc);
  accumulate(acc, args.a + row * args.lda, args.lda, panel, args.k, ahead);
  finish_tile(args, acc, row, column, columns);
}

// All rows against one panel: full tiles, then the ragged rest. A panel one vector wide takes twice
// the rows, or six chains would wait for the latency of fma.
template <int kVectors, class Product>
inline void pointwise_panel_rows(const Product& args, int64_t column, int64_t columns,
                                 const WeightOf<TermOf<Product>>* panel) {
  constexpr int kRows = kVectors == 1 ? 2 * kTileRows : kTileRows;
  const PanelAhead ahead = panel_ahead(args, column, kRows);
  int64_t row = 0;
  for (; row + kRows <= args.m; row += kRows) {
    pointwise_tile<kRows, kVectors>(args, row, column, columns, panel,
                                    ahead.of_tile(row / kRows, panel));
  }
  for (; row + 2 <= args.m; row += 2)
    pointwise_tile<2, kVectors>(args, row, column, columns, panel, NothingAhead{});
  if (row < args.m) pointwise_tile<1, kVectors>(args, row, column, columns, panel, NothingAhead{});
}

// Rows [row, row + kRows) of the lone last column: kLoneChains chains a row, each group of terms in
// the next one, added by halves.
template <int kRows, class Product>
inline void lone_column_tile(const Product& args, int64_t row,
                             const WeightOf<TermOf<Product>>* weights) {
  using Term = TermOf<Product>;
  using Vector = typename Terms<Term>::Vector;
  using Weights = typename Terms<Term>::Weights;
  using Sum = typename Terms<Term>::Sum;
  constexpr int kVectors = kLoneChains / F32::kLanes;
  constexpr int64_t kTurn = kLoneChains * kTermGroup<Term>;
  const Term* a = args.a + row * args.lda;
  Sum acc[kRows][kVectors];
  clear(acc);
  int64_t t = 0;
  for (; t + kTurn <= args.k; t += kTurn) {
#pragma GCC unroll 8
    for (int v = 0; v < kVectors; ++v) {
      const Weights weight = load<Weights>(weights + t + v * Vector::kLanes);
#pragma GCC unroll 8
      for (int r = 0; r < kRows; ++r) {
        const Vector value = load<Vector>(a + r * args.lda + t + v * Vector::kLanes);
        acc[r][v] = multiply_add(value, weight, acc[r][v]);
      }
    }
  }
  // All chains, whatever a vector's width: a product of zeros makes -0 a 0.
  for (int v = 0; v < kVectors && args.k % kTurn != 0; ++v) {
    const int64_t left = args.k - t;
    const int n = static_cast<int>(left < Vector::kLanes ? left : Vector::kLanes);
    const Weights weight = load_n<Weights>(weights + t, n);
    for (int r = 0; r < kRows; ++r)
      acc[r][v] = multiply_add(load_n<Vector>(a + r * args.lda + t, n), weight, acc[r][v]);
    t += n;
  }
  for (int r = 0; r < kRows; ++r) {
    for (int half = kVectors / 2; half > 0; half /= 2) {
      for (int v = 0; v < half; ++v) acc[r][v] = add(acc[r][v], acc[r][v + half]);
    }
    finish_lone(args, set1<Sum>(reduce_add(acc[r][0])), row + r);
  }
}

template <class Product>
inline void lone_column(const Product& args, const WeightOf<TermOf<Product>>* weights) {
  constexpr int kRows = 4;  // two vectors each on AVX2: the latency (4) x throughput (2) of fma
  int64_t row = 0;
  for (; row + kRows <= args.m; row += kRows) lone_column_tile<kRows>(args, row, weights);
  for (; row < args.m; ++row) lone_column_tile<1>(args, row, weights);
}

// Panels outside, rows inside: a panel (k x kPanel elements) is read from L2 once per row tile, and
// the rows of `a` that a caller passes at once should fit there beside it. A network's weights do
// not stay in L2 from one image to the next, and the first tile would wait for L3: hence each panel
// is fetched while the one before it is in use.
template <class Product>
inline void multiply_panels(const Product& args) {
  using Term = TermOf<Product>;
  const int64_t panel_columns = has_lone_column(args.n) ? args.n - 1 : args.n;
  const int64_t panel_size = kPanel * grouped_terms<Term>(args.k);
  const WeightOf<Term>* panel = args.packed_b;
  for (int64_t column = 0; column < panel_columns; column += kPanel, panel += panel_size) {
    const int64_t left = panel_columns - column;
    const int64_t columns = left < kPanel ? left : kPanel;
    const int vectors = static_cast<int>((columns + F32::kLanes - 1) / F32::kLanes);
    if (vectors == kTileVectors) {
      pointwise_panel_rows<kTileVectors>(args, column, columns, panel);
    } else if (vectors == 1) {
      pointwise_panel_rows<1>(args, column, columns, panel);
    } else if (vectors == 2) {
      pointwise_panel_rows<2>(args, column, columns, panel);
    } else {
      pointwise_panel_rows<3>(args, column, columns, panel);
    }
  }
  if (has_lone_column(args.n)) lone_column(args, panel);
}

template <class In, class Out>
inline void check_pointwise(const PointwiseArgs<In, Out>& args) {
  assert(args.m >= 0 && args.k >= 1 && args.n >= 1);
  assert(args.m <= 1 || (args.lda >= args.k && args.ld_out >= args.n));
  assert(args.m <= 1 || args.residual == nullptr || args.ld_residual >= args.n);
  assert(args.m == 0 || (args.a != nullptr && args.packed_b != nullptr && args.out != nullptr));
  assert(args.m == 0 || static_cast<const void*>(args.a) != args.out);
  assert(args.next_weights != nullptr || args.next_bytes == 0);
}

template <class In, class Out>
inline void pointwise(const PointwiseArgs<In, Out>& args) {
  check_pointwise(args);
  if (args.m == 0) return;
  typename Terms<In>::Mode mode;
  mode.enter();
  multiply_panels(args);
  mode.leave();
}

}  // namespace
}  // namespace lpn
