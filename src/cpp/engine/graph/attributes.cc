#include "engine/graph/attributes.h"

#include <algorithm>
#include <cmath>
#include <stdexcept>

#include "base/check.h"

namespace lpn {
namespace {

const char* type_name(AttributeType type) {
  switch (type) {
    case AttributeType::kInteger:
      return "an integer";
    case AttributeType::kNumber:
      return "a number";
    case AttributeType::kActivation:
      return "one of \"none\", \"relu\", \"relu6\"";
  }
  return "";
}

}  // namespace

const Attributes::Value& Attributes::find(std::string_view name) const {
  for (const auto& [known, value] : values_) {
    if (known == name) return value;
  }
  throw std::logic_error("no attribute \"" + std::string(name) + "\" in the schema");
}

std::int64_t Attributes::integer(std::string_view name) const {
  return std::get<std::int64_t>(find(name));
}

double Attributes::number(std::string_view name) const { return std::get<double>(find(name)); }

Activation Attributes::activation() const {
  return std::get<Activation>(find(kActivationAttribute.name));
}

Activation parse_activation(const std::string& name, const std::string& what) {
  if (name == "none") return Activation::kNone;
  if (name == "relu") return Activation::kRelu;
  if (name == "relu6") return Activation::kRelu6;
  throw_invalid(what, "activation is \"", name, "\"; it must be ",
                type_name(AttributeType::kActivation));
}

Attributes parse_attributes(const std::vector<AttributeSchema>& schema, const std::string& where,
                            const std::map<std::string, AttributeValue>& values) {
  Attributes attributes;
  for (const AttributeSchema& wanted : schema) {
    const auto found = values.find(wanted.name);
    LPN_CHECK(found != values.end(), where, "attribute \"", wanted.name,
              "\" is missing; it must be ", type_name(wanted.type));
    const AttributeValue& value = found->second;
    const std::int64_t* integer = std::get_if<std::int64_t>(&value);
    const double* number = std::get_if<double>(&value);
    const std::string* text = std::get_if<std::string>(&value);
    if (wanted.type == AttributeType::kInteger && integer != nullptr) {
      LPN_CHECK(*integer >= wanted.minimum && *integer <= kMaxAttribute, where, "attribute \"",
                wanted.name, "\" is ", *integer, "; it must be from ", wanted.minimum, " to ",
                kMaxAttribute);
      attributes.values_.emplace_back(wanted.name, *integer);
    } else if (wanted.type == AttributeType::kNumber && (integer != nullptr || number != nullptr)) {
      const double given = integer != nullptr ? static_cast<double>(*integer) : *number;
      LPN_CHECK(given >= static_cast<double>(wanted.minimum) && std::isfinite(given), where,
                "attribute \"", wanted.name, "\" is ", given, "; it must be finite and at least ",
                wanted.minimum);
      attributes.values_.emplace_back(wanted.name, given);
    } else if (wanted.type == AttributeType::kActivation && text != nullptr) {
      attributes.values_.emplace_back(wanted.name, parse_activation(*text, where));
    } else {
      throw_invalid(where, "attribute \"", wanted.name, "\" must be ", type_name(wanted.type));
    }
  }
  for (const auto& [name, value] : values) {
    const bool known = std::any_of(schema.begin(), schema.end(),
                                   [given = std::string_view(name)](const AttributeSchema& wanted) {
                                     return given == wanted.name;
                                   });
    LPN_CHECK(known, where, "attribute \"", name, "\" is not known for this kind");
  }
  return attributes;
}

}  // namespace lpn
