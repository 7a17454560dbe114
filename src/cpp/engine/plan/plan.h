// A graph made ready for one input size on one tier: steps in order and a place in memory for every
// tensor.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/graph/graph.h"
#include "engine/plan/step.h"
#include "engine/plan/weight_store.h"

namespace lpn {

class OperationGraph;

// Immutable and shared by any number of runs. It points into the graph and the weight store, which
// must outlive it.
class Plan {
 public:
  // Where a tensor of the image at hand lies.
  struct Place {
    enum class Kind { kUnused, kInput, kOutput, kArena };
    Kind kind = Kind::kUnused;
    std::int64_t offset = 0;  // floats into the arena
    std::int64_t size = 0;    // floats
    int first = 0, last = 0;  // steps that write it first and read it last
  };

  Plan(const Graph& graph, std::int64_t h, std::int64_t w, Isa isa, WeightStore& weights);

  const Shape& input() const { return input_; }
  const Shape& output() const { return output_; }
  const std::vector<std::unique_ptr<const Step>>& steps() const { return steps_; }
  const std::vector<Place>& places() const { return places_; }
  std::int64_t arena_size() const { return arena_size_; }  // floats
  std::int64_t scratch_size() const {
    return scratch_size_;
  }  // floats per worker, a multiple of a cache line

  // Bytes of a workspace for an image that `workers` threads run. In double, as all sizes that are
  // compared with a limit: what a graph asks for may not fit 64 bits.
  double workspace_bytes(int workers) const;

 private:
  void place_tensors(const OperationGraph& fused, const std::vector<std::int64_t>& sizes);

  Shape input_;
  Shape output_;
  std::vector<std::unique_ptr<const Step>> steps_;
  std::vector<Place> places_;
  std::int64_t arena_size_ = 0;
  std::int64_t scratch_size_ = 0;
};

}  // namespace lpn
