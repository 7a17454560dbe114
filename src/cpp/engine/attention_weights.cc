#include "engine/attention_weights.h"

#include <algorithm>
#include <vector>

namespace lpn {
namespace {

// row (1 x channels) times the projection's weight (channels x inputs), or the row itself without
// one.
std::vector<double> project(const float* row, std::int64_t channels, const Node* projection) {
  if (projection == nullptr) return {row, row + channels};
  const Weight& weight = projection->weight("weight");
  const std::int64_t inputs = weight.shape[1];
  std::vector<double> product(static_cast<std::size_t>(inputs), 0.0);
  const float* w = weight.data();
  for (std::int64_t c = 0; c < channels; ++c, w += inputs) {
    const double factor = row[c];
    for (std::int64_t i = 0; i < inputs; ++i) product[static_cast<std::size_t>(i)] += factor * w[i];
  }
  return product;
}

std::int64_t pooled_channels(std::int64_t channels, const Node* projection) {
  return projection == nullptr ? channels : projection->weight("weight").shape[1];
}

}  // namespace

const float* gc_mask(const Node& block, const Node* projection, WeightStore& store) {
  const Weight& mask = block.weight("mask_weight");
  const std::int64_t channels = mask.shape[0];
  return store.get(block.name + "/mask", pooled_channels(channels, projection), [&](float* packed) {
    const std::vector<double> product = project(mask.data(), channels, projection);
    std::transform(product.begin(), product.end(), packed,
                   [](double value) { return static_cast<float>(value); });
  });
}

FirstLayer attention_first_layer(const Node& block, const Node* projection, WeightStore& store) {
  const Weight& w1 = block.weight("w1");
  const std::int64_t hidden = w1.shape[0];
  const std::int64_t channels = w1.shape[1];
  const std::int64_t pooled = pooled_channels(channels, projection);
  FirstLayer layer{};
  layer.w = store.get(block.name + "/w1", pooled * hidden, [&](float* packed) {
    for (std::int64_t unit = 0; unit < hidden; ++unit) {
      const std::vector<double> product =
          project(w1.data() + unit * channels, channels, projection);
      for (std::int64_t i = 0; i < pooled; ++i) {
        packed[i * hidden + unit] = static_cast<float>(product[static_cast<std::size_t>(i)]);
      }
    }
  });
  const auto b1 = block.weights.find("b1");
  const float* bias = b1 == block.weights.end() ? nullptr : b1->second.data();
  const float* base = projection == nullptr ? nullptr : projection->bias();
  if (bias == nullptr && base == nullptr) return layer;
  layer.b = store.get(block.name + "/b1", hidden, [&](float* packed) {
    for (std::int64_t unit = 0; unit < hidden; ++unit) {
      double sum = bias == nullptr ? 0.0 : bias[unit];
      const float* row = w1.data() + unit * channels;
      for (std::int64_t c = 0; base != nullptr && c < channels; ++c)
        sum += static_cast<double>(row[c]) * base[c];
      packed[unit] = static_cast<float>(sum);
    }
  });
  return layer;
}

const float* attention_second_layer(const Node& block, WeightStore& store) {
  const Weight& w2 = block.weight("w2");
  const std::int64_t channels = w2.shape[0];
  const std::int64_t hidden = w2.shape[1];
  return store.get(block.name + "/w2", channels * hidden, [&](float* packed) {
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t unit = 0; unit < hidden; ++unit)
        packed[unit * channels + c] = w2.data()[c * hidden + unit];
    }
  });
}

}  // namespace lpn
