// Global-context pooling (softmax-weighted mean over positions) and its two-layer transform (GCNet,
// eq. 4; the LPN paper's attention).
#pragma once

#include <cstdint>

#include "base/bfloat16.h"
#include "kernels/variants.h"

namespace lpn {

// logit[p] = sum_c x[p, c] * w[c]; partial = {max_p logit, sum_p e^(logit - max), sum_p e^(logit -
// max) x[p, :]}. Softmax ignores a constant, so the mask's bias is not needed. Sums over lanes are
// sixteen partial sums, added by halves, and every tier rounds an fma once: all
// give the same bits. T is float, Bfloat16 or uint8_t.
template <class T>
struct GcPoolArgs {
  const T* x;  // positions rows of c elements
  std::int64_t positions, c;
  const float* w;  // c floats
  float* logits;   // scratch of `positions` floats
  float* partial;  // 2 + c floats: maximum, sum, weighted sums
};

// hidden = relu(layer_norm(w1 context + b1)); out = base + b2 + w2 hidden. Layer norm over the h
// hidden values.
struct GcTransformArgs {
  const float* context;  // c_in floats
  std::int64_t c_in, hidden, c_out;
  const float* w1;      // [c_in][hidden]: transposed, so that lanes are hidden units
  const float* b1;      // hidden floats
  const float* norm_w;  // hidden floats
  const float* norm_b;  // hidden floats
  float epsilon;
  const float* w2;    // [hidden][c_out]: transposed
  const float* b2;    // c_out floats
  const float* base;  // c_out floats added to the result, or null
  float* scratch;     // hidden floats
  float* out;         // c_out floats
};

template <class T>
using GcPoolFn = void (*)(const GcPoolArgs<T>& args);
using GcTransformFn = void (*)(const GcTransformArgs& args);

#define LPN_KERNEL(type, pool, transform, isa) \
  void pool(const GcPoolArgs<type>& args);     \
  void transform(const GcTransformArgs& args);
#include "kernels/gc_pool/kernels.inc"
#undef LPN_KERNEL

template <class T>
const Variant<GcPoolFn<T>>& select_gc_pool(Isa isa);
const Variant<GcTransformFn>& select_gc_transform(Isa isa);

// Merges `count` partials (2 + c floats each, in a fixed order, in double) into context[c] = sum_p
// softmax_p x[p, c].
void merge_gc_partials(const float* partials, std::int64_t count, std::int64_t c, float* context);

}  // namespace lpn
