// The body of the chains, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>

#include "kernels/fma_peak/fma_peak.h"
#include "simd/flush_subnormals.h"

namespace lpn {
namespace {

// Both factors and every start come from memory: there is nothing a compiler could compute ahead.
struct FmaStep {
  F32 factor, addend;

  explicit FmaStep(const FmaPeakArgs<float>& args)
      : factor(set1<F32>(args.factor)), addend(set1<F32>(args.addend)) {}
  F32 after(F32 x) const { return fma(x, factor, addend); }
};

struct DotStep {
  BF16 factors, addends;

  explicit DotStep(const FmaPeakArgs<Bfloat16>& args) {
    const Bfloat16 factor = narrow<Bfloat16>(args.factor);
    const Bfloat16 pair[2] = {factor, factor};
    const Bfloat16 opposites[2] = {narrow<Bfloat16>(args.addend), narrow<Bfloat16>(-args.addend)};
    factors = set1_pair<BF16>(pair);
    addends = set1_pair<BF16>(opposites);
  }
  F32 after(F32 x) const { return dot(factors, addends, x); }
};

template <class Step, class T>
inline void run_chains(const FmaPeakArgs<T>& args) {
  assert(args.x != nullptr && args.out != nullptr && args.steps >= 0);
  constexpr int kBlock = kFmaPeakChains * F32::kLanes;
  static_assert(kFmaPeakValues % kBlock == 0, "chains of whole vectors");
  const Step step(args);
  for (int begin = 0; begin < kFmaPeakValues; begin += kBlock) {
    F32 chain[kFmaPeakChains];
#pragma GCC unroll 16
    for (int i = 0; i < kFmaPeakChains; ++i) chain[i] = load<F32>(args.x + begin + i * F32::kLanes);
    for (int64_t turn = 0; turn < args.steps; ++turn) {
#pragma GCC unroll 16
      for (int i = 0; i < kFmaPeakChains; ++i) chain[i] = step.after(chain[i]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kFmaPeakChains; ++i) store(args.out + begin + i * F32::kLanes, chain[i]);
  }
}

inline void fma_peak(const FmaPeakArgs<float>& args) { run_chains<FmaStep>(args); }

inline void fma_peak(const FmaPeakArgs<Bfloat16>& args) {
  FlushSubnormals mode;
  mode.enter();
  run_chains<DotStep>(args);
  mode.leave();
}

}  // namespace
}  // namespace lpn
