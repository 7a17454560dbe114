// The pointwise kernel's body, written once. Include after a vec_*.h.
#pragma once

#include "kernels/gemm_tile-inl.h"
#include "kernels/pointwise/pointwise.h"

namespace lpn {
namespace {

template <int kRows, int kVectors>
inline void pointwise_tile(const PointwiseArgs& args, int64_t row, int64_t column, int64_t columns,
                           const float* panel) {
  F32 acc[kRows][kVectors];
  clear(acc);
  accumulate(acc, args.a + row * args.lda, args.lda, panel, args.k);
  const float* residual =
      args.residual == nullptr ? nullptr : args.residual + row * args.ld_residual;
  store_tile(acc, Epilogue{args.bias, args.scale, args.activation}, column, columns, residual,
             args.ld_residual, args.out + row * args.ld_out, args.ld_out);
}

// All rows against one panel: full tiles, then the ragged rest, at most kTileRows - 1 rows.
template <int kVectors>
inline void pointwise_panel_rows(const PointwiseArgs& args, int64_t column, int64_t columns,
                                 const float* panel) {
  int64_t row = 0;
  for (; row + kTileRows <= args.m; row += kTileRows) {
    pointwise_tile<kTileRows, kVectors>(args, row, column, columns, panel);
  }
  for (; row + 2 <= args.m; row += 2)
    pointwise_tile<2, kVectors>(args, row, column, columns, panel);
  if (row < args.m) pointwise_tile<1, kVectors>(args, row, column, columns, panel);
}

// Panels outside, rows inside: a panel (k x kPanel floats) is read from L2 once per row tile, and
// the rows of `a` that a caller passes at once should fit there beside it.
inline void pointwise(const PointwiseArgs& args) {
  for (int64_t column = 0; column < args.n; column += kPanel) {
    const float* panel = args.packed_b + column * args.k;
    const int64_t columns = args.n - column < kPanel ? args.n - column : kPanel;
    const int vectors = static_cast<int>((columns + kLanes - 1) / kLanes);
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
}

}  // namespace
}  // namespace lpn
