// Where in memory the tensors of a plan lie.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/graph/operation.h"
#include "engine/graph/tensor.h"

namespace lpn {

// Of a tensor of the image at hand.
struct Place {
  enum class Kind { kUnused, kInput, kOutput, kArena };

  Kind kind = Kind::kUnused;
  DType type = DType::kF32;
  std::size_t output = 0;  // which of the graph's outputs
  int container = 0;       // the tensor among whose channels it lies; itself for a place of its own
  std::int64_t offset = 0;  // bytes into the arena or the output
  std::int64_t bytes = 0;
  int first = 0, last = 0;  // operations that write it first and read it last
};

struct Placement {
  std::vector<Place> places;     // of every tensor
  std::int64_t arena_bytes = 0;  // a multiple of a cache line
};

// Tensors share memory where they are not alive at the same time, or where an operation writes its
// result over what it reads.
Placement place_tensors(const OperationGraph& graph, const std::vector<Shape>& shapes);

}  // namespace lpn
