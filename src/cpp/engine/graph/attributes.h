// What a node was given beside its inputs and weights, by name.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

#include "kernels/activation.h"

namespace lpn {

// As a model file has it.
using AttributeValue = std::variant<std::int64_t, double, std::string>;

enum class AttributeType { kInteger, kNumber, kActivation };

struct AttributeSchema {
  const char* name;
  AttributeType type;
  std::int64_t minimum;  // of an integer and of a number
};

// No integer attribute is larger, which keeps every product of attributes and sizes far from
// overflow.
constexpr std::int64_t kMaxAttribute = 1 << 20;

// The schemas of what most kinds take.
constexpr AttributeSchema integer_attribute(const char* name, std::int64_t minimum) {
  return {name, AttributeType::kInteger, minimum};
}
constexpr AttributeSchema number_attribute(const char* name, std::int64_t minimum) {
  return {name, AttributeType::kNumber, minimum};
}
constexpr AttributeSchema kStrideAttribute = integer_attribute("stride", 1);
constexpr AttributeSchema kPaddingAttribute = integer_attribute("padding", 0);
constexpr AttributeSchema kActivationAttribute{"activation", AttributeType::kActivation, 0};

// Attributes that were checked against a schema: each is there and of its type.
class Attributes {
 public:
  std::int64_t integer(std::string_view name) const;
  double number(std::string_view name) const;
  Activation activation() const;

 private:
  friend Attributes parse_attributes(const std::vector<AttributeSchema>& schema,
                                     const std::string& where,
                                     const std::map<std::string, AttributeValue>& values);

  using Value = std::variant<std::int64_t, double, Activation>;
  const Value& find(std::string_view name) const;

  std::vector<std::pair<std::string_view, Value>> values_;  // named by the schema's strings
};

// Parses and checks attributes against a schema: every one present, of its type, none unknown.
// `where` starts the message of an error.
Attributes parse_attributes(const std::vector<AttributeSchema>& schema, const std::string& where,
                            const std::map<std::string, AttributeValue>& values);

// "none", "relu" or "relu6"; `what` starts the message of the error for any other.
Activation parse_activation(const std::string& name, const std::string& what);

}  // namespace lpn
