// The pointwise kernel's body for bytes. Include after a vec_*.h.
#pragma once

#include "kernels/pointwise/pointwise-inl.h"
#include "kernels/quantized_tile-inl.h"

namespace lpn {
namespace {

// The rows from `row` on of a product, as they are multiplied.
template <class Out>
struct QuantizedProduct {
  using Term = ByteTerm;

  const ByteTerm* a;
  int64_t lda;
  const WeightOf<ByteTerm>* packed_b;
  int64_t m, k, n;
  const void* next_weights;
  int64_t next_bytes;
  const PointwiseArgs<uint8_t, Out>* args;
  int64_t row;

  QuantizedEpilogue<Out> epilogue(int64_t tile_row) const {
    const int64_t r = row + tile_row;
    const uint8_t* residual =
        args->residual == nullptr ? nullptr : args->residual + r * args->ld_residual;
    return {args->multiplier, args->gate,        args->offset,
            residual,         args->ld_residual, args->residual_scale,
            args->least,      args->most,        args->out + r * args->ld_out,
            args->ld_out};
  }
};

template <int kRows, int kVectors, class Out>
LPN_INLINE_BODY inline void finish_tile(const QuantizedProduct<Out>& product,
                                        const I32 (&acc)[kRows][kVectors], int64_t row,
                                        int64_t column, int64_t columns) {
  const float* bias = product.args->bias;
  store_quantized_tile(acc, product.epilogue(row), [bias](int) { return bias; }, column, columns);
}

template <class Out>
inline void finish_lone(const QuantizedProduct<Out>& product, I32 sum, int64_t row) {
  finish_sum<true>(sum, product.epilogue(row), product.args->bias, 0, product.n - 1, 1);
}

template <class Out>
inline void quantized_pointwise(const PointwiseArgs<uint8_t, Out>& args) {
  check_pointwise(args);
  assert(args.m == 0 || (args.multiplier != nullptr && args.bias != nullptr));
  if (args.m == 0) return;
  QuantizedProduct<Out> product{};
  product.packed_b = static_cast<const WeightOf<ByteTerm>*>(args.packed_b);
  product.n = args.n;
  product.args = &args;
  if constexpr (kHasDot4) {
    product.a = args.a;
    product.lda = args.lda;
    product.m = args.m;
    product.k = args.k;
    product.next_weights = args.next_weights;
    product.next_bytes = args.next_bytes;
    multiply_panels(product);
  } else {
    assert(args.scratch != nullptr);
    auto* widened = static_cast<int16_t*>(args.scratch);
    product.a = widened;
    product.lda = widened_stride(args.k);
    product.k = grouped_terms<int16_t>(args.k);
    for (int64_t row = 0; row < args.m; row += kWidenedRows) {
      const int64_t left = args.m - row;
      product.m = left < kWidenedRows ? left : kWidenedRows;
      product.row = row;
      if (left <= kWidenedRows) {
        product.next_weights = args.next_weights;
        product.next_bytes = args.next_bytes;
      }
      for (int64_t r = 0; r < product.m; ++r)
        widen_row(args.a + (row + r) * args.lda, args.k, widened + r * product.lda);
      multiply_panels(product);
    }
  }
}

}  // namespace
}  // namespace lpn
