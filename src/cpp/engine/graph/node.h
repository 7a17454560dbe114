// One node of a network.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "engine/graph/attributes.h"
#include "engine/graph/weight.h"

namespace lpn {

struct NodeKind;

// Its output tensor has the node's name; tensor 0 is the graph's input, tensor i + 1 node i's
// output.
struct Node {
  const NodeKind* kind = nullptr;  // of the registry
  std::string name;
  std::vector<int> inputs;
  Attributes attributes;
  std::map<std::string, Weight> weights;
  // Computed in floating point, also where a network computes in bytes.
  bool keeps_float = false;

  const Weight& weight(const std::string& weight_name) const { return weights.at(weight_name); }
  // The optional bias, or null.
  const float* bias() const;
};

}  // namespace lpn
