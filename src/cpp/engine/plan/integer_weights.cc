#include "engine/plan/integer_weights.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/check.h"
#include "engine/graph/node_kind.h"

namespace lpn {
namespace {

constexpr double kMostWeight = 127;
constexpr double kMostByte = 255;

// Weights that lie one after the other and belong to one output channel.
struct Runs {
  std::int64_t length;
  std::vector<std::int64_t> channel;  // of every run
  std::int64_t channels;
};

// A convolution's weight is (O, C / groups, kh, kw), a transposed one's (C, O / groups, kh, kw).
Runs runs_of(const Node& node) {
  const std::vector<std::int64_t>& shape = node.weight("weight").shape;
  const bool transposed = std::string(node.kind->name) == "conv_transpose2d";
  const std::int64_t groups = transposed ? node.attributes.integer("groups") : 1;
  Runs runs{};
  runs.length = (transposed ? 1 : shape[1]) * shape[2] * shape[3];
  runs.channels = transposed ? groups * shape[1] : shape[0];
  const std::int64_t count = transposed ? shape[0] * shape[1] : shape[0];
  for (std::int64_t run = 0; run < count; ++run) {
    const std::int64_t group = transposed ? run / shape[1] / (shape[0] / groups) : 0;
    runs.channel.push_back(transposed ? group * shape[1] + run % shape[1] : run);
  }
  return runs;
}

// In double: weights of a pixel's channels, a scale of the normalisation in each.
std::vector<double> weights_of_pixels(const Weight& weight, const PixelInput& pixels) {
  const std::vector<std::int64_t>& shape = weight.shape;
  const std::int64_t taps = shape[2] * shape[3];
  const float* w = weight.data();
  std::vector<double> folded(static_cast<std::size_t>(shape[0] * shape[1] * taps), 0.0);
  for (std::int64_t o = 0; o < shape[0]; ++o) {
    for (std::int64_t c = 0; c < shape[1]; ++c) {
      const auto channel = static_cast<std::size_t>(c);
      double* to = folded.data() + (o * shape[1] + pixels.channel_map[channel]) * taps;
      for (std::int64_t tap = 0; tap < taps; ++tap) to[tap] += *w++ * pixels.scale[channel];
    }
  }
  return folded;
}

// To the nearest integer, ties to even, of a number below 2^51; unlike nearbyint in vectors.
double nearest(double x) {
  constexpr double kOnlyIntegers = 6755399441055744.0;  // 1.5 * 2^52
  return (x + kOnlyIntegers) - kOnlyIntegers;
}

template <class W>
IntegerWeights quantize(const W* w, const Runs& runs, const float* scales) {
  IntegerWeights weights;
  const auto channels = static_cast<std::size_t>(runs.channels);
  weights.sums.assign(channels, 0.0);
  if (scales != nullptr) {
    weights.scales.assign(scales, scales + channels);
  } else {
    std::vector<double> most(channels, 0.0);
    for (std::size_t run = 0; run < runs.channel.size(); ++run) {
      double& largest = most[static_cast<std::size_t>(runs.channel[run])];
      const W* values = w + static_cast<std::int64_t>(run) * runs.length;
      for (std::int64_t i = 0; i < runs.length; ++i)
        largest = std::max(largest, std::abs(static_cast<double>(values[i])));
    }
    for (const double largest : most)
      weights.scales.push_back(largest > 0 ? static_cast<float>(largest / kMostWeight) : 1.0f);
  }
  weights.values.resize(runs.channel.size() * static_cast<std::size_t>(runs.length));
  std::int8_t* value = weights.values.data();
  for (const std::int64_t channel : runs.channel) {
    const double scale = weights.scales[static_cast<std::size_t>(channel)];
    std::int64_t sum = 0;
    for (std::int64_t i = 0; i < runs.length; ++i) {
      const double q = nearest(static_cast<double>(*w++) / scale);
      *value = static_cast<std::int8_t>(std::min(kMostWeight, std::max(-kMostWeight, q)));
      sum += *value++;
    }
    weights.sums[static_cast<std::size_t>(channel)] += static_cast<double>(sum);
  }
  return weights;
}

}  // namespace

bool sums_fit(const Node& node) {
  const Runs runs = runs_of(node);
  const auto weights = static_cast<double>(runs.channel.size()) * static_cast<double>(runs.length);
  return weights / static_cast<double>(runs.channels) * kMostByte * kMostWeight <
         std::numeric_limits<std::int32_t>::max();
}

IntegerWeights integer_weights(const Node& node, const PixelInput* pixels) {
  const Weight& weight = node.weight("weight");
  const Runs runs = runs_of(node);
  const auto given = node.weights.find("weight_scale");
  const float* scales = given == node.weights.end() ? nullptr : given->second.data();
  if (scales != nullptr) {
    for (std::int64_t o = 0; o < runs.channels; ++o) {
      LPN_CHECK(std::isnormal(scales[o]) && scales[o] > 0, describe(node), ": weight_scale[", o,
                "] is ", scales[o], "; it must be finite and greater than 0");
    }
  }
  if (pixels == nullptr) return quantize(weight.data(), runs, scales);
  return quantize(weights_of_pixels(weight, *pixels).data(), runs, scales);
}

namespace {

// What a unit of the result is, in the numbers that it stands for.
double unit_of(const Quantizations& maps) { return maps.output ? maps.output->scale : 1.0; }

// What the zero points of residual and output add, in the result's units.
double constant_of(const Quantizations& maps) {
  double constant = maps.output ? maps.output->zero_point : 0.0;
  if (maps.residual) constant -= maps.residual->zero_point * (maps.residual->scale / unit_of(maps));
  return constant;
}

double multiplier_of(const IntegerWeights& weights, std::size_t channel,
                     const Quantizations& maps) {
  return static_cast<double>(maps.input.scale) * weights.scales[channel] / unit_of(maps);
}

}  // namespace

Requantization requantization(const Quantizations& maps, Activation activation, bool gated) {
  constexpr float kInfinity = std::numeric_limits<float>::infinity();
  const bool rectified = activation != Activation::kNone;
  const bool bounded = activation == Activation::kRelu6;
  Requantization result{};
  if (gated) result.offset = static_cast<float>(constant_of(maps));
  if (maps.residual)
    result.residual_scale = static_cast<float>(maps.residual->scale / unit_of(maps));
  if (maps.output) {
    const double zero = maps.output->zero_point;
    const double six = nearest(6.0 / maps.output->scale) + zero;
    result.least = rectified ? static_cast<float>(zero) : 0.0f;
    result.most = static_cast<float>(bounded ? std::min(kMostByte, six) : kMostByte);
  } else {
    result.least = rectified ? 0.0f : -kInfinity;
    result.most = bounded ? 6.0f : kInfinity;
  }
  return result;
}

void fill_multiplier(const IntegerWeights& weights, const Quantizations& maps, float* multiplier) {
  for (std::size_t o = 0; o < weights.scales.size(); ++o)
    multiplier[o] = static_cast<float>(multiplier_of(weights, o, maps));
}

void fill_bias(const IntegerWeights& weights, const double* bias, const Quantizations& maps,
               bool gated, float* filled) {
  for (std::size_t o = 0; o < weights.scales.size(); ++o) {
    double addend = bias == nullptr ? 0.0 : bias[o] / unit_of(maps);
    addend -= maps.input.zero_point * weights.sums[o] * multiplier_of(weights, o, maps);
    if (!gated) addend += constant_of(maps);
    filled[o] = static_cast<float>(addend);
  }
}

}  // namespace lpn
