// The sum of two maps as an operation.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engine/graph/operation.h"

namespace lpn {

struct Add final : Operation {
  Add(const Node& of, int result)
      : Operation(of),
        a(of.inputs[0]),
        b(of.inputs[1]),
        output(result),
        activation(of.attributes.activation()) {}

  std::vector<int> reads() const override { return {a, b}; }
  std::vector<int> writes() const override { return {output}; }
  void redirect(int from, int to) override {
    for (int* tensor : {&a, &b, &output}) redirect_tensor(*tensor, from, to);
  }
  std::optional<int> overwritable() const override {
    return a == b ? std::nullopt : std::optional<int>(b);
  }
  bool takes_stride(int /*tensor*/) const override { return true; }
  bool takes_types(const std::vector<Tensor>& tensors) const override {
    return of_one_float(tensors, {a, b, output}) ||
           (of_one_type(tensors, {a, b, output}) && all_quantized(tensors, {a, b, output}));
  }
  std::unique_ptr<Step> make_step(StepBuilder& builder) const override;

  int a, b;
  int output;
  Activation activation;
};

}  // namespace lpn
