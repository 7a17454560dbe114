// A graph made ready for one input size on one tier: steps in order and a place in memory for every
// tensor.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/graph/graph.h"
#include "engine/graph/precision.h"
#include "engine/plan/placement.h"
#include "engine/plan/step.h"
#include "engine/plan/weight_store.h"

namespace lpn {

// Immutable and shared by any number of runs. It points into the graph and the weight store, which
// must outlive it.
class Plan {
 public:
  Plan(const Graph& graph, std::int64_t h, std::int64_t w, Isa isa, Precision precision,
       WeightStore& weights);

  const Shape& input() const { return input_; }
  // What makes the input of pixels, for a plan that takes their bytes; null for one that takes
  // floats.
  const PixelInput* pixels() const { return pixels_; }
  const std::vector<Shape>& outputs() const { return outputs_; }
  std::int64_t output_bytes(std::size_t output) const { return output_bytes_[output]; }
  const std::vector<std::unique_ptr<const Step>>& steps() const { return steps_; }
  const std::vector<Place>& places() const { return placement_.places; }
  std::int64_t arena_bytes() const { return placement_.arena_bytes; }
  // Per worker, a multiple of a cache line.
  std::int64_t scratch_bytes() const { return scratch_bytes_; }

  // Bytes of a workspace for an image that `workers` threads run, all outputs but the first being
  // unwanted. In double, as all sizes that are compared with a limit: what a graph asks for may not
  // fit 64 bits.
  double workspace_bytes(int workers) const;

 private:
  Shape input_;
  const PixelInput* pixels_ = nullptr;
  std::vector<Shape> outputs_;
  std::vector<std::int64_t> output_bytes_;
  std::vector<std::unique_ptr<const Step>> steps_;
  Placement placement_;
  std::int64_t scratch_bytes_ = 0;
};

}  // namespace lpn
