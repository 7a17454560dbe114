#include "engine/plan/integer_weights.h"

#include <algorithm>
#include <array>
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

// The node's "weight_scale", or null.
const float* given_scales(const Node& node, const Runs& runs) {
  const auto given = node.weights.find("weight_scale");
  if (given == node.weights.end()) return nullptr;
  const float* scales = given->second.data();
  for (std::int64_t o = 0; o < runs.channels; ++o) {
    LPN_CHECK(std::isnormal(scales[o]) && scales[o] > 0, describe(node), ": weight_scale[", o,
              "] is ", scales[o], "; it must be finite and greater than 0");
  }
  return scales;
}

// Scales as given, else of the largest weight of each channel.
template <class W>
std::vector<float> scales_of(const W* w, const Runs& runs, const float* given) {
  const auto channels = static_cast<std::size_t>(runs.channels);
  if (given != nullptr) return {given, given + channels};
  std::vector<double> most(channels, 0.0);
  for (const std::int64_t channel : runs.channel) {
    double& largest = most[static_cast<std::size_t>(channel)];
    for (std::int64_t i = 0; i < runs.length; ++i)
      largest = std::max(largest, std::abs(static_cast<double>(*w++)));
  }
  std::vector<float> scales;
  for (const double largest : most)
    scales.push_back(largest > 0 ? static_cast<float>(largest / kMostWeight) : 1.0f);
  return scales;
}

// A NaN is the least.
template <class W>
double integer_of(W w, double scale) {
  const double q = nearest(static_cast<double>(w) / scale);
  const double above = q > -kMostWeight ? q : -kMostWeight;
  return above < kMostWeight ? above : kMostWeight;
}

constexpr std::int64_t kBlock = 256;

// At most kBlock weights, and the sum of their integers: loops of one type each, for vectors.
template <class W>
double quantize_block(const W* w, std::int64_t n, double scale, std::int8_t* values) {
  std::array<std::int32_t, kBlock> integers;
  std::int32_t* const block = integers.data();
  for (std::int64_t i = 0; i < n; ++i)
    block[i] = static_cast<std::int32_t>(integer_of(w[i], scale));
  std::int32_t sum = 0;
  for (std::int64_t i = 0; i < n; ++i) sum += block[i];
  for (std::int64_t i = 0; i < n; ++i) values[i] = static_cast<std::int8_t>(block[i]);
  return sum;
}

template <class W>
IntegerWeights quantize(const W* w, const Runs& runs, const float* scales) {
  IntegerWeights weights;
  weights.scales = scales_of(w, runs, scales);
  weights.sums.assign(weights.scales.size(), 0.0);
  weights.values.resize(runs.channel.size() * static_cast<std::size_t>(runs.length));
  std::int8_t* value = weights.values.data();
  for (const std::int64_t channel : runs.channel) {
    const double scale = weights.scales[static_cast<std::size_t>(channel)];
    double sum = 0;
    for (std::int64_t begin = 0; begin < runs.length; begin += kBlock) {
      const std::int64_t n = std::min(kBlock, runs.length - begin);
      sum += quantize_block(w, n, scale, value);
      w += n;
      value += n;
    }
    weights.sums[static_cast<std::size_t>(channel)] += sum;
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
  const float* scales = given_scales(node, runs);
  if (pixels == nullptr) return quantize(weight.data(), runs, scales);
  return quantize(weights_of_pixels(weight, *pixels).data(), runs, scales);
}

std::vector<float> rounded_weights(const Node& node) {
  const Runs runs = runs_of(node);
  const float* w = node.weight("weight").data();
  const std::vector<float> scales = scales_of(w, runs, given_scales(node, runs));
  std::vector<float> rounded(runs.channel.size() * static_cast<std::size_t>(runs.length));
  float* out = rounded.data();
  for (const std::int64_t channel : runs.channel) {
    const float scale = scales[static_cast<std::size_t>(channel)];
    for (std::int64_t i = 0; i < runs.length; ++i)
      out[i] = static_cast<float>(integer_of(w[i], scale)) * scale;
    w += runs.length;
    out += runs.length;
  }
  return rounded;
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
