// Graphs of every kind of node and of every way in which fusion joins or must not join them.
#pragma once

#include <cstddef>
#include <string>
#include <vector>

#include "engine/graph/graph.h"

namespace lpn::test {

struct EngineCase {
  const char* name;
  std::size_t steps;  // of the plan: what fusion must reach
  Graph graph;
};

std::vector<EngineCase> engine_cases();

// Two blocks, the second of which halves the map; `attention` is "gc", "se" or "none".
Graph bottlenecks(const std::string& attention);

// Every kind of node in LPN's order: stem, pooling, blocks, head.
Graph whole_network(const std::string& attention);

Graph several_outputs();

}  // namespace lpn::test
