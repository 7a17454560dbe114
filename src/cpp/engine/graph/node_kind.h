// The registry of node kinds: what each takes, makes of it, and becomes. docs/model-file.md lists
// the same kinds for readers.
//
// A kind is one file, ops/<kind>.cc, that defines `NodeKind <kind>_kind()`; the build lists the
// files.
#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "engine/graph/node.h"
#include "engine/graph/tensor.h"

namespace lpn {

class OperationGraph;

struct WeightSchema {
  const char* name;
  std::size_t rank;
  bool optional = false;
};

struct NodeKind {
  static constexpr std::size_t kAnyNumber = std::numeric_limits<std::size_t>::max();

  const char* name = nullptr;
  std::size_t min_inputs = 1;
  std::size_t max_inputs = 1;
  std::vector<AttributeSchema> attributes;
  std::vector<WeightSchema> weights;
  // Checks attributes and the weights' shapes against the channels of the inputs and returns the
  // output's.
  std::int64_t (*channels)(const Node& node, const std::vector<std::int64_t>& inputs) = nullptr;
  // The output's shape; `inputs` have the right channels.
  Shape (*shape)(const Node& node, const std::vector<Shape>& inputs,
                 std::int64_t channels) = nullptr;
  // Adds the operations that together write the node's tensor, `output`. Each knows how it is
  // made into a step, and what that costs.
  void (*emit)(const Node& node, int output, OperationGraph& graph) = nullptr;
};

// All of them, by name.
const std::vector<NodeKind>& node_kinds();

// Throws for an unknown kind.
const NodeKind& find_node_kind(const std::string& kind, const std::string& node);

// For rules of shapes and channels.

// How the message of an error names a node.
std::string describe(const Node& node);

// Whether the weight, where it is there, has the `wanted` shape; throws otherwise.
void check_weight(const Node& node, const char* name, const std::vector<std::int64_t>& wanted,
                  std::int64_t channels);

// The shape of the one input.
Shape same_shape(const Node& node, const std::vector<Shape>& inputs, std::int64_t channels);

}  // namespace lpn
