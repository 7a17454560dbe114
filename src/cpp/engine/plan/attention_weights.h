// The weights of attention blocks, moved in front of the 1x1 convolution ("projection") that feeds
// the block where there is one. With z = W3 y + b3 the block's input, y the projection's, and
// softmax blind to constants:
//   mask logit    w_mask . z            = (W3^T w_mask) . y + constant
//   context       sum_p softmax_p z_p   = W3 (sum_p softmax_p y_p) + b3
//   first layer   W1 context + b1       = (W1 W3) pooled_y + (W1 b3 + b1)
// and likewise for the mean of an SE block. Of a map of bytes q, x = scale * (q - zero_point), the
// bytes themselves are pooled, and the weights hold scale and zero point. Products are taken in
// double.
#pragma once

#include <optional>

#include "base/isa.h"
#include "engine/graph/graph.h"
#include "engine/graph/quantization.h"
#include "engine/plan/weight_store.h"

namespace lpn {

struct FirstLayer {
  const float* w;  // [channels of the pooled tensor][hidden]
  const float* b;  // [hidden], or null
};

// What a block pools.
struct PooledMap {
  const Node* projection = nullptr;          // it is the input of; null for the block's own input
  std::optional<Quantization> quantization;  // of bytes
};

const float* gc_mask(const Node& block, const PooledMap& map, Isa isa, WeightStore& store);
FirstLayer attention_first_layer(const Node& block, const PooledMap& map, Isa isa,
                                 WeightStore& store);

// The second layer as [hidden][channels].
const float* attention_second_layer(const Node& block, WeightStore& store);

}  // namespace lpn
