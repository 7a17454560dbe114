// A map in another type.
#pragma once

#include <memory>
#include <vector>

#include "engine/graph/operation.h"

namespace lpn {

// Between the bytes of a quantized map, or of pixels, and floats. It stems from the node that wants
// or makes the floats.
struct Cast final : Operation {
  Cast(const Node& of, int from, int to) : Operation(of), input(from), output(to) {}

  std::vector<int> reads() const override { return {input}; }
  std::vector<int> writes() const override { return {output}; }
  void redirect(int from, int to) override {
    redirect_tensor(input, from, to);
    redirect_tensor(output, from, to);
  }
  bool takes_types(const std::vector<Tensor>& tensors) const override {
    return type_of(tensors, input) != type_of(tensors, output);
  }
  std::unique_ptr<Step> make_step(StepBuilder& builder) const override;

  int input;
  int output;
};

}  // namespace lpn
