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

template <class In, class Out>
using PointwiseFn = void (*)(const PointwiseArgs<In, Out>& args);

#define LPN_KERNEL(in, out, name, isa, panel)  \
  constexpr std::int64_t name##_panel = panel; \
  void name(const PointwiseArgs<in, out>& args);
#include "kernels/pointwise/kernels.inc"
#undef LPN_KERNEL

// For <float, float>, <Bfloat16, Bfloat16> and <Bfloat16, float>.
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

// Elements that pack_pointwise writes, for inputs of type In.
template <class In>
std::int64_t pointwise_packed_size(Isa isa, std::int64_t k, std::int64_t n);

// Packs w (n, k), output-major as convolution weights are stored, rounded to In, into panels
// (kernels/panel.h). A lone column follows in the order of k, in whole groups of terms.
template <class In>
void pack_pointwise(Isa isa, const float* w, std::int64_t k, std::int64_t n, In* packed);

}  // namespace lpn
