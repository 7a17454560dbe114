// Convolutions as operations.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "engine/graph/operation.h"
#include "engine/ops/attention.h"

namespace lpn {

// Dense convolution. Its epilogue takes an attention block's vector (as its bias, or as a scale of
// the sum and bias), then a residual, then the activation.
struct Conv final : Operation {
  Conv(const Node& of, int map, int result)
      : Operation(of), input(map), output(result), activation(of.attributes.activation()) {}

  // A matrix product over positions: 1x1, no padding.
  bool is_pointwise() const;
  // One that takes every position.
  bool is_projection() const { return is_pointwise() && node->attributes.integer("stride") == 1; }
  // Nothing was applied to its result yet.
  bool is_bare() const { return activation == Activation::kNone && !residual; }

  std::vector<int> reads() const override;
  std::vector<int> writes() const override { return {output}; }
  void redirect(int from, int to) override;
  std::optional<int> overwritable() const override;
  bool takes_stride(int tensor) const override;
  bool takes_types(const std::vector<Tensor>& tensors) const override;
  std::unique_ptr<Step> make_step(StepBuilder& builder) const override;

  int input;
  int output;
  Activation activation;
  std::optional<ChannelVector> vector;
  std::optional<int> residual;

 private:
  bool is_small() const;
  bool takes_bytes(const std::vector<Tensor>& tensors) const;
};

// Convolution channel by channel; may pool its result while it writes it.
struct Depthwise final : Operation {
  Depthwise(const Node& of, int map, int result) : Operation(of), input(map), output(result) {}

  std::vector<int> reads() const override { return {input}; }
  std::vector<int> writes() const override;
  void redirect(int from, int to) override;
  bool takes_types(const std::vector<Tensor>& tensors) const override;
  std::unique_ptr<Step> make_step(StepBuilder& builder) const override;

  int input;
  int output;
  std::unique_ptr<Pool> pool;  // or null
};

// Of Conv, in ops/steps/.
std::unique_ptr<Step> make_pointwise_step(const Conv& conv, StepBuilder& builder);
std::unique_ptr<Step> make_conv_step(const Conv& conv, StepBuilder& builder);

}  // namespace lpn
