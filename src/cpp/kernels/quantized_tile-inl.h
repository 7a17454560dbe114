// What follows the sums of a register tile of bytes. Include after a vec_*.h.
#pragma once

#include "kernels/gemm_tile-inl.h"
#include "kernels/quantized.h"

namespace lpn {
namespace {

// What bytes are multiplied as: themselves, or 16 bits.
template <bool kFours>
struct ByteTerms {
  using Term = int16_t;
};
template <>
struct ByteTerms<true> {
  using Term = uint8_t;
};
using ByteTerm = ByteTerms<kHasDot4>::Term;

// `n` bytes as 16 bits, and zeros up to widened_stride(n).
inline void widen_row(const uint8_t* from, int64_t n, int16_t* to) {
  int64_t i = 0;
  for (; i + I16::kLanes <= n; i += I16::kLanes) store(to + i, load<I16>(from + i));
  for (; i < widened_stride(n); i += I16::kLanes)
    store(to + i, load_n<I16>(from + i, n > i ? static_cast<int>(n - i) : 0));
}

// Per output column; a null gate and a null residual are skipped.
template <class Out>
struct QuantizedEpilogue {
  const float* multiplier;
  const float* gate;
  float offset;
  const uint8_t* residual;  // the tile's first row
  int64_t ld_residual;
  float residual_scale;
  float least, most;
  Out* out;  // the tile's first row
  int64_t ld_out;
};

// Clamped; floats that are no numbers stay so.
inline void store_clamped(float* p, F32 v, float least, float most) {
  store(p, min(set1<F32>(most), max(set1<F32>(least), v)));
}
inline void store_clamped_n(float* p, int n, F32 v, float least, float most) {
  store_n(p, n, min(set1<F32>(most), max(set1<F32>(least), v)));
}
// Clamped and rounded; what is no number becomes `least`.
inline void store_clamped(uint8_t* p, F32 v, float least, float most) {
  store(p, min(max(v, set1<F32>(least)), set1<F32>(most)));
}
inline void store_clamped_n(uint8_t* p, int n, F32 v, float least, float most) {
  store_n(p, n, min(max(v, set1<F32>(least)), set1<F32>(most)));
}

// One vector of the tile's r-th row, of whose columns the first is `column`: `n` lanes when
// kPartial, else all.
template <bool kPartial, class Out>
inline void finish_sum(I32 sum, const QuantizedEpilogue<Out>& epilogue, const float* bias, int r,
                       int64_t column, int n) {
  const auto read = [n](const auto* p) { return kPartial ? load_n<F32>(p, n) : load<F32>(p); };
  F32 v = fma_exact(to_float(sum), read(epilogue.multiplier + column), read(bias + column));
  if (epilogue.gate != nullptr)
    v = add(mul(v, read(epilogue.gate + column)), set1<F32>(epilogue.offset));
  if (epilogue.residual != nullptr) {
    const uint8_t* residual = epilogue.residual + r * epilogue.ld_residual + column;
    v = fma_exact(read(residual), set1<F32>(epilogue.residual_scale), v);
  }
  Out* out = epilogue.out + r * epilogue.ld_out + column;
  if (kPartial) {
    store_clamped_n(out, n, v, epilogue.least, epilogue.most);
  } else {
    store_clamped(out, v, epilogue.least, epilogue.most);
  }
}

// Four vectors of bytes at once, of whole vectors and without a gate: kVectors of a row, or of
// each of two. Integers between which v is clamped are what v is rounded within, so that what is
// below the least one is left to the conversion and a maximum of bytes; beyond 2^31 there would be
// none.
template <bool kResidual, int kRows, int kVectors, class BiasOf>
LPN_INLINE_BODY inline void store_whole_bytes(const I32 (&acc)[kRows][kVectors],
                                              const QuantizedEpilogue<uint8_t>& epilogue,
                                              const BiasOf& bias_of, int64_t column) {
  const U8 least = set1<U8>(static_cast<uint8_t>(epilogue.least));
  const F32 most = set1<F32>(epilogue.most);
  const F32 residual_scale = set1<F32>(epilogue.residual_scale);
  F32 multiplier[kVectors];
#pragma GCC unroll 4
  for (int v = 0; v < kVectors; ++v)
    multiplier[v] = load<F32>(epilogue.multiplier + column + v * F32::kLanes);
  const auto rounded = [&](int r, int v) LPN_INLINE_BODY {
    const int64_t at = column + v * F32::kLanes;
    F32 x = fma_exact(to_float(acc[r][v]), multiplier[v], load<F32>(bias_of(r) + at));
    if (kResidual) {
      const uint8_t* residual = epilogue.residual + r * epilogue.ld_residual + at;
      x = fma_exact(load<F32>(residual), residual_scale, x);
    }
    return to_int(min(most, x));
  };
#pragma GCC unroll 12
  for (int r = 0; r < kRows; r += 4 / kVectors) {
    uint8_t* out = epilogue.out + r * epilogue.ld_out + column;
    if constexpr (kVectors == 4) {
      store(out, max(least, to_bytes(rounded(r, 0), rounded(r, 1), rounded(r, 2), rounded(r, 3))));
    } else {
      const U8 two_rows =
          to_bytes(rounded(r, 0), rounded(r, 1), rounded(r + 1, 0), rounded(r + 1, 1));
      store_halves(out, out + epilogue.ld_out, max(least, two_rows));
    }
  }
}

// Writes a tile whose first column is `column` and which covers `columns` <= kVectors * kLanes of
// them; bias_of(r) is the bias of its r-th row.
template <int kRows, int kVectors, class Out, class BiasOf>
LPN_INLINE_BODY inline void store_quantized_tile(const I32 (&acc)[kRows][kVectors],
                                                 const QuantizedEpilogue<Out>& epilogue,
                                                 const BiasOf& bias_of, int64_t column,
                                                 int64_t columns) {
  const int last = static_cast<int>(columns - (kVectors - 1) * F32::kLanes);
  constexpr bool kBytes = sizeof(Out) == 1;
  if constexpr (kBytes && (kVectors == 4 || (kVectors == 2 && kRows % 2 == 0))) {
    if (last == F32::kLanes && epilogue.gate == nullptr) {
      if (epilogue.residual == nullptr)
        return store_whole_bytes<false>(acc, epilogue, bias_of, column);
      return store_whole_bytes<true>(acc, epilogue, bias_of, column);
    }
  }
#pragma GCC unroll 12
  for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 12
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = column + v * F32::kLanes;
      if (v == kVectors - 1 && last < F32::kLanes) {
        finish_sum<true>(acc[r][v], epilogue, bias_of(r), r, at, last);
      } else {
        finish_sum<false>(acc[r][v], epilogue, bias_of(r), r, at, F32::kLanes);
      }
    }
  }
}

}  // namespace
}  // namespace lpn
