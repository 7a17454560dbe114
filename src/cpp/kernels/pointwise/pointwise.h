// 1x1 convolution over NHWC maps: a matrix product with bias, scale, residual and activation in its
// epilogue.
#pragma once

#include <cstdint>

#include "kernels/activation.h"
#include "kernels/variants.h"

namespace lpn {

// out[m, n] = act((sum_k a[m, k] * b[k, n] + bias[n]) * scale[n] + residual[m, n])
// The sum is one chain of fused multiply-adds in ascending k, so every tier with fma gives the same
// bits; for a lone last column it is sixteen chains, k modulo 16, added by halves.
struct PointwiseArgs {
  const float* a;  // m rows of k floats, lda apart
  std::int64_t lda;
  const float* packed_b;  // from pack_pointwise for the same tier
  const float* bias;      // n floats, or null
  const float* scale;     // n floats, or null (the SE gate)
  const float* residual;  // m rows of n floats, ld_residual apart, or null
  std::int64_t ld_residual;
  float* out;  // m rows of n floats, ld_out apart; may be `residual`, never `a`
  std::int64_t ld_out;
  std::int64_t m, k, n;
  Activation activation;
  // Weights that the caller will use after these: fetched into L2 meanwhile. May be null.
  const float* next_packed_b;
  std::int64_t next_size;  // floats
};

using PointwiseFn = void (*)(const PointwiseArgs& args);

#define LPN_KERNEL(name, isa, panel)           \
  constexpr std::int64_t name##_panel = panel; \
  void name(const PointwiseArgs& args);
#include "kernels/pointwise/kernels.inc"
#undef LPN_KERNEL

const PanelVariant<PointwiseFn>& select_pointwise(Isa isa);

// Output rows that one register tile covers on every tier: rows in multiples of it leave no ragged
// tile between chunks.
constexpr std::int64_t kPointwiseRowTile = 6;

// A multiple of every tier's panel: columns cut at multiples of it start a panel on any tier.
constexpr std::int64_t kPointwiseWidestPanel = 64;

// One column more than whole vectors would cost as much as sixteen: seventeen joints are such a
// case. Its lanes are terms instead of columns. (Static, so that no ISA file exports a copy.)
constexpr std::int64_t kLoneChains = 16;
static inline bool has_lone_column(std::int64_t n) { return n % kLoneChains == 1; }

// Floats that pack_pointwise writes.
std::int64_t pointwise_packed_size(Isa isa, std::int64_t k, std::int64_t n);

// Packs w (n, k), output-major as convolution weights are stored, into panels [ceil(n /
// panel)][k][panel]; the last panel is padded with zeros. A lone column follows in the order of k.
void pack_pointwise(Isa isa, const float* w, std::int64_t k, std::int64_t n, float* packed);

}  // namespace lpn
