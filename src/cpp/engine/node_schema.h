// What each kind of node takes: the one table behind docs/model-file.md's list of kinds.
#pragma once

#include <string>
#include <vector>

#include "engine/graph.h"

namespace lpn {

enum class AttributeType { kInteger, kNumber, kActivation };

struct AttributeSchema {
  const char* name;
  AttributeType type;
  // Where its value goes; of an integer and of a number.
  std::int64_t Attributes::* integer;
  double Attributes::* number;
  std::int64_t minimum;
};

struct WeightSchema {
  const char* name;
  std::size_t rank;
  bool optional;
};

struct NodeSchema {
  NodeKind kind;
  const char* name;
  std::size_t inputs;
  std::vector<AttributeSchema> attributes;
  std::vector<WeightSchema> weights;
  // Checks the weights' shapes against the channels of the inputs and returns the output's.
  std::int64_t (*channels)(const Node& node, const std::vector<std::int64_t>& inputs);
  // The output's shape; `inputs` have the right channels.
  Shape (*shape)(const Node& node, const std::vector<Shape>& inputs, std::int64_t channels);
};

// Throws for an unknown kind.
const NodeSchema& find_schema(const std::string& kind, const std::string& node);
const NodeSchema& schema_of(NodeKind kind);

// Parses and checks attributes against a schema: every one present, of its type, none unknown.
Attributes parse_attributes(const NodeSchema& schema, const std::string& node,
                            const std::map<std::string, AttributeValue>& values);

// "none", "relu" or "relu6"; `what` starts the message of the error for any other.
Activation parse_activation(const std::string& name, const std::string& what);

}  // namespace lpn
