// The most arithmetic a core does: chains of multiply-adds that never leave the registers. What
// every other kernel's speed is measured against.
#pragma once

#include <cstdint>

#include "base/bfloat16.h"
#include "kernels/term_group.h"
#include "kernels/variants.h"

namespace lpn {

// Chains that do not wait for each other, enough to cover latency x throughput: a core starts two
// fma a cycle and each takes 4 to 5, which 8 to 10 chains keep busy; the scalar tier's product and
// sum take 6 cycles where two pairs start in each and 8 where one does, which is 12 and 8 chains.
// With the two constants they fill 14 of the 16 registers of AVX2 and of the baseline.
constexpr int kFmaPeakChains = 12;

// One chain is a vector: this many values are a whole number of chains for every tier's width (16
// lanes at most), and every tier computes all of them.
constexpr int kFmaPeakValues = kFmaPeakChains * 16;

// out[i] = x[i] after `steps` steps, kFmaPeakValues values. Of float factors a step is
//   x[i] <- x[i] * factor + addend
// With 0 < factor < 1 it goes to addend / (1 - factor), so that values stay finite and normal. Of
// bfloat16, it adds a pair of products, factor * addend rounded to bfloat16
// each, once negated and then as it is, so that values stay about where they are. Of bytes, it adds
// four products of f, 255 * factor rounded to an integer, with 127, -127, 127 and -126 to x[i] as a
// 32-bit integer, which grows by f; the addend is not looked at.
template <class T>
struct FmaPeakArgs {
  const float* x;
  float factor, addend;
  std::int64_t steps;
  float* out;
};

// Of bytes, steps and values at either sign up to which sums fit 32 bits.
constexpr std::int64_t kFmaPeakByteSteps = std::int64_t{1} << 22;
constexpr float kFmaPeakByteRange = 1 << 30;

template <class T>
double fma_peak_flops(std::int64_t steps) {
  return 2.0 * kTermGroup<T> * kFmaPeakValues * static_cast<double>(steps);
}

template <class T>
using FmaPeakFn = void (*)(const FmaPeakArgs<T>& args);

#define LPN_KERNEL(type, name, isa) void name(const FmaPeakArgs<type>& args);
#include "kernels/fma_peak/kernels.inc"
#undef LPN_KERNEL

template <class T>
const Variant<FmaPeakFn<T>>& select_fma_peak(Isa isa);

}  // namespace lpn
