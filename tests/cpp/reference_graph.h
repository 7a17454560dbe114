// A second, slow and obvious implementation of every node kind, in double.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/graph/graph.h"

namespace lpn::test {

// One image's activation map.
struct ReferenceMap {
  Shape shape;
  std::vector<double> values;

  explicit ReferenceMap(Shape s) : shape(s), values(static_cast<std::size_t>(s.size()), 0.0) {}
  double& at(std::int64_t y, std::int64_t x, std::int64_t c) {
    return values[static_cast<std::size_t>((y * shape.w + x) * shape.c + c)];
  }
  double at(std::int64_t y, std::int64_t x, std::int64_t c) const {
    return values[static_cast<std::size_t>((y * shape.w + x) * shape.c + c)];
  }
};

// The graph's outputs for one image.
std::vector<ReferenceMap> run_reference(const Graph& graph, const ReferenceMap& input);

}  // namespace lpn::test
