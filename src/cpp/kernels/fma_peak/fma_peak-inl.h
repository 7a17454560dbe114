// The body of the chains, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>

#include "kernels/fma_peak/fma_peak.h"

namespace lpn {
namespace {

// Both factors and every start come from memory: there is nothing a compiler could compute ahead.
inline void fma_peak(const FmaPeakArgs& args) {
  assert(args.x != nullptr && args.out != nullptr && args.steps >= 0);
  constexpr int kBlock = kFmaPeakChains * F32::kLanes;
  static_assert(kFmaPeakValues % kBlock == 0, "chains of whole vectors");
  const F32 factor = set1<F32>(args.factor);
  const F32 addend = set1<F32>(args.addend);
  for (int begin = 0; begin < kFmaPeakValues; begin += kBlock) {
    F32 chain[kFmaPeakChains];
#pragma GCC unroll 16
    for (int i = 0; i < kFmaPeakChains; ++i) chain[i] = load<F32>(args.x + begin + i * F32::kLanes);
    for (int64_t step = 0; step < args.steps; ++step) {
#pragma GCC unroll 16
      for (int i = 0; i < kFmaPeakChains; ++i) chain[i] = fma(chain[i], factor, addend);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kFmaPeakChains; ++i) store(args.out + begin + i * F32::kLanes, chain[i]);
  }
}

}  // namespace
}  // namespace lpn
