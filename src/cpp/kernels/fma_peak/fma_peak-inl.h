// The body of the chains, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>
#include <math.h>
#include <stdint.h>

#include "kernels/fma_peak/fma_peak.h"
#include "simd/flush_subnormals.h"

namespace lpn {
namespace {

// Both factors and every start come from memory: there is nothing a compiler could compute ahead.
struct FmaStep {
  using Chain = F32;

  F32 factor, addend;

  explicit FmaStep(const FmaPeakArgs<float>& args)
      : factor(set1<F32>(args.factor)), addend(set1<F32>(args.addend)) {}
  F32 after(F32 x) const { return fma(x, factor, addend); }
};

struct DotStep {
  using Chain = F32;

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

// Two products of pairs where no instruction takes four bytes.
struct ByteStep {
  using Chain = I32;

  uint8_t factors[4];
  int16_t wide_factors[2];
  S8 weights;
  I16 first, second;

  explicit ByteStep(const FmaPeakArgs<uint8_t>& args) {
    const auto factor = static_cast<uint8_t>(rintf(255.0f * args.factor));
    for (uint8_t& each : factors) each = factor;
    for (int16_t& each : wide_factors) each = factor;
    int8_t fours[S8::kLanes];
    for (int i = 0; i < S8::kLanes; ++i)
      fours[i] = static_cast<int8_t>(i % 4 == 3 ? -126 : i % 2 == 0 ? 127 : -127);
    weights = load<S8>(fours);
    const int16_t pairs[4] = {127, -127, 127, -126};
    first = set1_pair<I16>(pairs);
    second = set1_pair<I16>(pairs + 2);
  }
  I32 after(I32 x) const {
    if constexpr (kHasDot4) return dot4(set1_quad<U8>(factors), weights, x);
    const I16 wide = set1_pair<I16>(anew(wide_factors));
    return dot(wide, second, dot(wide, first, x));
  }

 private:
  // p, to be read from each time: otherwise one product would do for all chains and turns.
  static const int16_t* anew(const int16_t* p) {
#if defined(__GNUC__)
    asm volatile("" : "+r"(p));
#endif
    return p;
  }
};

inline void start(const float* x, F32& chain) { chain = load<F32>(x); }
inline void start(const float* x, I32& chain) { chain = to_int(load<F32>(x)); }
inline void finish(F32 chain, float* out) { store(out, chain); }
inline void finish(I32 chain, float* out) { store(out, to_float(chain)); }

template <class Step, class T>
inline void run_chains(const FmaPeakArgs<T>& args) {
  assert(args.x != nullptr && args.out != nullptr && args.steps >= 0);
  constexpr int kBlock = kFmaPeakChains * F32::kLanes;
  static_assert(kFmaPeakValues % kBlock == 0, "chains of whole vectors");
  const Step step(args);
  for (int begin = 0; begin < kFmaPeakValues; begin += kBlock) {
    typename Step::Chain chain[kFmaPeakChains];
#pragma GCC unroll 16
    for (int i = 0; i < kFmaPeakChains; ++i) start(args.x + begin + i * F32::kLanes, chain[i]);
    for (int64_t turn = 0; turn < args.steps; ++turn) {
#pragma GCC unroll 16
      for (int i = 0; i < kFmaPeakChains; ++i) chain[i] = step.after(chain[i]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kFmaPeakChains; ++i) finish(chain[i], args.out + begin + i * F32::kLanes);
  }
}

inline void fma_peak(const FmaPeakArgs<float>& args) { run_chains<FmaStep>(args); }

inline void fma_peak(const FmaPeakArgs<Bfloat16>& args) {
  FlushSubnormals mode;
  mode.enter();
  run_chains<DotStep>(args);
  mode.leave();
}

inline void fma_peak(const FmaPeakArgs<uint8_t>& args) {
  assert(args.steps <= kFmaPeakByteSteps);
  run_chains<ByteStep>(args);
}

}  // namespace
}  // namespace lpn
