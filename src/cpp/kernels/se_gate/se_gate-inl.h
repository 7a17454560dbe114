// The bodies of the squeeze and of the excitation, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>

#include "kernels/reduce-inl.h"
#include "kernels/se_gate/se_gate.h"
#include "simd/exp-inl.h"

namespace lpn {
namespace {

template <class T>
inline void channel_sum(const ChannelSumArgs<T>& args) {
  assert(args.positions >= 0 && args.c >= 1);
  assert(args.x != nullptr && args.partial != nullptr);
  row_sums<false>(args.x, nullptr, args.positions, args.c, args.partial);
}

// 1 / (1 + e^-v), from e^-|v| so that neither sign overflows or cancels.
inline F32 sigmoid(F32 v) {
  const F32 e = exp_nonpositive<fma_exact>(min(v, sub(zero<F32>(), v)));
  const F32 numerator = select(greater(zero<F32>(), v), e, set1<F32>(1.0f));
  return div(numerator, add(set1<F32>(1.0f), e));
}

// A NaN hidden value stays one: max(0, v) is v when v is NaN.
inline void se_gate(const SeGateArgs& args) {
  assert(args.c_in >= 1 && args.hidden >= 1 && args.c_out >= 1);
  assert(args.mean != nullptr && args.w1 != nullptr && args.w2 != nullptr);
  assert(args.scratch != nullptr && args.out != nullptr);
  const auto relu = [&](F32 v, int64_t j, int n) {
    return max(zero<F32>(), args.b1 == nullptr ? v : add(v, load_n<F32>(args.b1 + j, n)));
  };
  vector_matrix(args.mean, args.w1, args.c_in, args.hidden, relu, args.scratch);
  const auto gate = [](F32 v, int64_t, int) { return sigmoid(v); };
  vector_matrix(args.scratch, args.w2, args.hidden, args.c_out, gate, args.out);
}

}  // namespace
}  // namespace lpn
