// What the makers of steps share while a plan is built.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/isa.h"
#include "engine/graph/operation.h"
#include "engine/graph/tensor.h"
#include "engine/plan/step.h"
#include "engine/plan/weight_store.h"

namespace lpn {

struct StepBuilder {
  // What the partials of a pooling cover.
  struct Pooled {
    std::int64_t count = 0;      // partials
    std::int64_t positions = 0;  // pixels
    std::int64_t channels = 0;
    std::optional<Quantization> quantization;  // of bytes
  };

  Isa isa;
  WeightStore& weights;
  const OperationGraph& graph;
  std::vector<Shape> shapes;   // of every tensor; makers set those that are no node's
  std::vector<Pooled> pooled;  // by partials tensor

  const Shape& shape(int tensor) const { return shapes[static_cast<std::size_t>(tensor)]; }

  DType type(int tensor) const { return graph.tensors[static_cast<std::size_t>(tensor)].type; }

  // Of a tensor of bytes; else none.
  std::optional<Quantization> quantization(int tensor) const {
    if (type(tensor) != DType::kU8) return std::nullopt;
    return graph.tensors[static_cast<std::size_t>(tensor)].quantization;
  }

  // Elements from one position to the next.
  std::int64_t row_stride(int tensor) const { return shape(graph.container(tensor)).c; }

  // Bytes of all that an operation has to move for one image: every tensor it reads or writes,
  // whose shapes must be known by now, and its weights, each once.
  double traffic(const Operation& operation, std::int64_t weight_bytes) const;
};

// All of a node's weights as float32, but the factors of its products, "weight", of type `factors`.
std::int64_t weight_bytes(const Node& node, DType factors = DType::kF32);

}  // namespace lpn
