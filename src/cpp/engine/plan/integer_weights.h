// A convolution in 8-bit integers: its weights, and what makes its output's bytes of their sums.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/graph/node.h"
#include "engine/graph/quantization.h"
#include "kernels/activation.h"

namespace lpn {

// w = scale * value, one scale per output channel.
struct IntegerWeights {
  std::vector<std::int8_t> values;  // in [-127, 127], in the weight's own layout
  std::vector<float> scales;
  std::vector<double> sums;  // of each channel's values
};

// Of a convolution or a transposed one: the nearest integers, ties to even, by the node's
// "weight_scale", or without one by the largest absolute value. With `pixels`, of weights for
// bytes: times the pixels' scale, in the order of a pixel's channels.
IntegerWeights integer_weights(const Node& node, const PixelInput* pixels = nullptr);

// The numbers that these integers stand for, in the weight's own layout.
std::vector<float> rounded_weights(const Node& node);

// Whether 32 bits hold any sum of a result's products of bytes.
bool sums_fit(const Node& node);

// Of the maps that an operation reads and writes; without an output's the result is floats.
struct Quantizations {
  Quantization input;
  std::optional<Quantization> residual, output;
};

// A result is v = sum * multiplier + bias, gated v = v * gate + offset, with a residual v =
// residual
// * residual_scale + v; of a quantized one the nearest integer between least and most. Zero points
// are in the bias, those of residual and output in the offset where it is gated.
struct Requantization {
  float offset, residual_scale, least, most;
};

Requantization requantization(const Quantizations& maps, Activation activation, bool gated);

// One number per output channel. `bias` in the numbers that the maps stand for, or null.
void fill_multiplier(const IntegerWeights& weights, const Quantizations& maps, float* multiplier);
void fill_bias(const IntegerWeights& weights, const double* bias, const Quantizations& maps,
               bool gated, float* filled);

}  // namespace lpn
