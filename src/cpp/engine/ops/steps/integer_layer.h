// What every step whose products are of integers needs of its convolution.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/plan/integer_weights.h"
#include "engine/plan/step_builder.h"

namespace lpn {

// A convolution's integer weights, made when they are first asked for: of a plan for another size
// the weight store has them packed already.
class IntegerLayer {
 public:
  IntegerLayer(const Node& node, const Quantizations& maps, StepBuilder& builder,
               const PixelInput* pixels = nullptr)
      : node_(node), maps_(maps), builder_(builder), pixels_(pixels) {}

  const IntegerWeights& weights() {
    if (!weights_) weights_ = integer_weights(node_, pixels_);
    return *weights_;
  }

  // Packed by pack(values, packed) into `bytes` bytes.
  template <class Pack>
  const std::int8_t* packed(const char* layout, std::int64_t bytes, const Pack& pack) {
    return builder_.weights.get<std::int8_t>(node_.name + layout, bytes, [&](std::int8_t* packed) {
      pack(weights().values.data(), packed);
    });
  }

  // Per output channel.
  const float* multiplier(std::int64_t channels) {
    return builder_.weights.get<float>(
        node_.name + "/multiplier", channels,
        [&](float* multiplier) { fill_multiplier(weights(), maps_, multiplier); });
  }

  // Of the convolution; without its own where a run's vector holds that.
  const float* bias(std::int64_t channels, bool own, bool gated) {
    return biases("/bias", 1, channels, gated,
                  [&](std::size_t) { return own ? own_bias(channels) : zeros(channels); });
  }

  // Of `count` sets, one after the other, each of bias(set): one number per output channel.
  template <class Bias>
  const float* biases(const std::string& layout, std::size_t count, std::int64_t channels,
                      bool gated, const Bias& bias) {
    return builder_.weights.get<float>(
        node_.name + layout, static_cast<std::int64_t>(count) * channels, [&](float* filled) {
          for (std::size_t set = 0; set < count; ++set, filled += channels)
            fill_bias(weights(), bias(set).data(), maps_, gated, filled);
        });
  }

  // Zeros without one.
  std::vector<double> own_bias(std::int64_t channels) const {
    const float* bias = node_.bias();
    return bias == nullptr ? zeros(channels) : std::vector<double>(bias, bias + channels);
  }

  Requantization requantization(Activation activation, bool gated) const {
    return lpn::requantization(maps_, activation, gated);
  }

 private:
  static std::vector<double> zeros(std::int64_t channels) {
    return std::vector<double>(static_cast<std::size_t>(channels), 0.0);
  }

  const Node& node_;
  const Quantizations maps_;
  StepBuilder& builder_;
  const PixelInput* const pixels_;
  std::optional<IntegerWeights> weights_;
};

}  // namespace lpn
