// 1x1 convolution over NHWC maps: a matrix product with bias, scale, residual and activation in its
// epilogue.
#pragma once

#include <cstdint>

#include "base/bfloat16.h"
#include "kernels/activation.h"
#include "kernels/variants.h"

namespace lpn {

// out[m, n] = act((sum_k a[m, k] * b[k, n] + bias[n]) * scale[n] + residual[m, n])
// The sum is one chain of fused multiply-adds in ascending k, so every tier with fma gives the same
// bits; for a lone last column it is sixteen chains, k modulo 16, added by halves. Of bfloat16, a
// step of a chain takes a pair, its second product first, and subnormal numbers are zero.
template <class In, class Out>
struct PointwiseArgs {
  using Term = In;

  const In* a;  // m rows of k elements, lda apart
  std::int64_t lda;
  const In* packed_b;   // from pack_pointwise for the same tier
  const float* bias;    // n floats, or null
  const float* scale;   // n floats, or null (the SE gate)
  const Out* residual;  // m rows of n elements, ld_residual apart, or null
  std::int64_t ld_residual;
  Out* out;  // m rows of n elements, ld_out apart; may be `residual`, never `a`
  std::int64_t ld_out;
  std::int64_t m, k, n;
  Activation activation;
  // Weights that the caller will use after these: fetched into L2 meanwhile. May be null.
  const void* next_weights;
  std::int64_t next_bytes;
};

// Of bytes, quantized maps (q - z) * s with z in 0..255 and s > 0, by weights in -127..127; the
// sums are exact. What follows is float32, in units of the result's scale, every operation rounded
// once on every tier, so that all give the same bits:
//   v = fma(sum, multiplier[n], bias[n])
//   v = v * gate[n] + offset, rounded twice, where there is a gate
//   v = fma(residual[m, n], residual_scale, v)
// clamped to [least, most], and rounded to nearest, ties to even, for a result of bytes.
template <class Out>
struct PointwiseArgs<std::uint8_t, Out> {
  const std::uint8_t* a;  // m rows of k bytes, lda apart
  std::int64_t lda;
  const void* packed_b;          // from pack_pointwise_s8 for the same tier
  const float* multiplier;       // n floats, the scale of a times that of the weights
  const float* bias;             // n floats, with all that is constant
  const float* gate;             // n floats, or null
  float offset;                  // looked at only with a gate
  const std::uint8_t* residual;  // m rows of n bytes, ld_residual apart, or null
  std::int64_t ld_residual;
  float residual_scale;
  Out* out;  // m rows of n elements, ld_out apart; may be `residual`, never `a`
  std::int64_t ld_out;
  std::int64_t m, k, n;
  float least, most;  // of bytes: integers in 0..255, and a NaN becomes `least`
  void* scratch;      // pointwise_scratch_size bytes, one per thread, aligned for int16
  const void* next_weights;
  std::int64_t next_bytes;
};

template <class In, class Out>
using PointwiseFn = void (*)(const PointwiseArgs<In, Out>& args);

#define LPN_KERNEL(in, out, name, isa, panel)  \
  constexpr std::int64_t name##_panel = panel; \
  void name(const PointwiseArgs<in, out>& args);
#include "kernels/pointwise/kernels.inc"
#undef LPN_KERNEL

// For <float, float>, <Bfloat16, Bfloat16>, <Bfloat16, float>, <uint8_t, uint8_t> and
// <uint8_t, float>.
template <class In, class Out>
const PanelVariant<PointwiseFn<In, Out>>& select_pointwise(Isa isa);

// Output rows that one register tile covers on every tier: rows in multiples of it leave no ragged
// tile between chunks.
constexpr std::int64_t kPointwiseRowTile = 6;

// A multiple of every tier's panel: columns cut at multiples of it start a panel on any tier.
constexpr std::int64_t kPointwiseWidestPanel = 64;

// One column more than whole vectors would cost as much as sixteen: seventeen joints are such a
// case. Its lanes are terms instead of columns. (Static, so that no ISA file exports a copy.)
constexpr std::int64_t kLoneChains = 16;
static inline bool has_lone_column(std::int64_t n) { return n % kLoneChains == 1; }

// Elements that pack_pointwise writes, for inputs of type In; bytes that pack_pointwise_s8 writes,
// for uint8_t.
template <class In>
std::int64_t pointwise_packed_size(Isa isa, std::int64_t k, std::int64_t n);

// Packs w (n, k), output-major as convolution weights are stored, rounded to In, into panels
// (kernels/panel.h). A lone column follows in the order of k, in whole groups of terms.
template <class In>
void pack_pointwise(Isa isa, const float* w, std::int64_t k, std::int64_t n, In* packed);

// The same for bytes: in fours, or widened to 16 bits and in pairs where no instruction takes four.
// `packed` is aligned for int16.
void pack_pointwise_s8(Isa isa, const std::int8_t* w, std::int64_t k, std::int64_t n, void* packed);

// Rows that are widened at once: of 512 terms they take 48 KiB.
constexpr std::int64_t kWidenedRows = 48;

// Bytes of scratch for a call of bytes over at most m rows of k of them; 0 on some tiers.
std::int64_t pointwise_scratch_size(Isa isa, std::int64_t m, std::int64_t k);

}  // namespace lpn
