// What the makers of steps share while a plan is built.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/isa.h"
#include "engine/fusion.h"
#include "engine/step.h"
#include "engine/tensor.h"
#include "engine/weight_store.h"

namespace lpn {

struct StepBuilder {
  // What an attention block's partials cover.
  struct Pooled {
    std::int64_t count = 0;      // partials
    std::int64_t positions = 0;  // pixels
    std::int64_t channels = 0;
  };

  Isa isa;
  WeightStore& weights;
  std::vector<Shape> shapes;  // of the graph's tensors
  std::vector<std::int64_t>
      sizes;                   // floats of every tensor; makers set those of partials and vectors
  std::vector<Pooled> pooled;  // by partials tensor

  const Shape& shape(int tensor) const { return shapes[static_cast<std::size_t>(tensor)]; }

  // Bytes of all that an operation has to move for one image: every tensor it reads or writes,
  // whose sizes must be known by now, and `weight_floats` floats, each once.
  double traffic(const Operation& operation, std::int64_t weight_floats) const;
};

// The floats of all of a node's weights.
std::int64_t weight_count(const Node& node);

// One file of steps/ each.
std::unique_ptr<Step> make_pointwise_step(const Operation& operation, StepBuilder& builder);
std::unique_ptr<Step> make_conv_step(const Operation& operation, StepBuilder& builder);
std::unique_ptr<Step> make_depthwise_step(const Operation& operation, StepBuilder& builder);
std::unique_ptr<Step> make_conv_transpose_step(const Operation& operation, StepBuilder& builder);
std::unique_ptr<Step> make_upsample_step(const Operation& operation, StepBuilder& builder);
std::unique_ptr<Step> make_max_pool_step(const Operation& operation, StepBuilder& builder);
std::unique_ptr<Step> make_add_step(const Operation& operation, StepBuilder& builder);
std::unique_ptr<Step> make_pool_step(const Operation& operation, StepBuilder& builder);
std::unique_ptr<Step> make_excite_step(const Operation& operation, StepBuilder& builder);
std::unique_ptr<Step> make_broadcast_step(const Operation& operation, StepBuilder& builder);

// The step of any operation.
std::unique_ptr<Step> make_step(const Operation& operation, StepBuilder& builder);

}  // namespace lpn
