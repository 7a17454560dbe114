// Squeeze-and-excitation (Hu et al., 2018): the squeeze as partial channel sums, the excitation as
// a gate per channel.
#pragma once

#include <cstdint>

#include "base/bfloat16.h"
#include "kernels/variants.h"

namespace lpn {

// partial[c] = sum_p x[p, c] over `positions` rows of c elements, float, Bfloat16 or uint8_t.
template <class T>
struct ChannelSumArgs {
  const T* x;
  std::int64_t positions, c;
  float* partial;  // c floats
};

// gate = sigmoid(w2 relu(w1 mean + b1))
struct SeGateArgs {
  const float* mean;  // c_in floats
  std::int64_t c_in, hidden, c_out;
  const float* w1;  // [c_in][hidden]: transposed
  const float* b1;  // hidden floats, or null
  const float* w2;  // [hidden][c_out]: transposed
  float* scratch;   // hidden floats
  float* out;       // c_out floats in [0, 1]
};

template <class T>
using ChannelSumFn = void (*)(const ChannelSumArgs<T>& args);
using SeGateFn = void (*)(const SeGateArgs& args);

#define LPN_KERNEL(type, sum, gate, isa)      \
  void sum(const ChannelSumArgs<type>& args); \
  void gate(const SeGateArgs& args);
#include "kernels/se_gate/kernels.inc"
#undef LPN_KERNEL

template <class T>
const Variant<ChannelSumFn<T>>& select_channel_sum(Isa isa);
const Variant<SeGateFn>& select_se_gate(Isa isa);

// Merges `count` partial sums of c floats (fixed order, in double) into mean[c] over `positions`
// positions.
void merge_channel_sums(const float* partials, std::int64_t count, std::int64_t c,
                        std::int64_t positions, float* mean);

}  // namespace lpn
