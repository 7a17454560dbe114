#include "engine/plan/attention_weights.h"

#include <algorithm>
#include <vector>

#include "engine/plan/integer_weights.h"
#include "kernels/matmul/matmul.h"

namespace lpn {
namespace {

// rows (count x channels) times the weight (channels x inputs) of the map's projection, or the rows
// themselves without one. Every sum is taken in the channels' order.
std::vector<double> project(const float* rows, std::int64_t count, std::int64_t channels,
                            const PooledMap& map, Isa isa) {
  std::vector<double> widened(rows, rows + count * channels);
  if (map.projection == nullptr) return widened;
  const Weight& weight = map.projection->weight("weight");
  const std::int64_t inputs = weight.shape[1];
  std::vector<float> rounded;  // a file that holds integers alone has no other numbers
  if (map.quantization && !map.projection->keeps_float) rounded = rounded_weights(*map.projection);
  const float* weights = rounded.empty() ? weight.data() : rounded.data();
  std::vector<double> products(static_cast<std::size_t>(count * inputs));
  select_matmul(isa).run({widened.data(), weights, products.data(), count, channels, inputs});
  return products;
}

std::int64_t pooled_channels(std::int64_t channels, const Node* projection) {
  return projection == nullptr ? channels : projection->weight("weight").shape[1];
}

double scale_of(const PooledMap& map) { return map.quantization ? map.quantization->scale : 1.0; }

}  // namespace

const float* gc_mask(const Node& block, const PooledMap& map, Isa isa, WeightStore& store) {
  const Weight& mask = block.weight("mask_weight");
  const std::int64_t channels = mask.shape[0];
  const double scale = scale_of(map);
  return store.get<float>(
      block.name + "/mask", pooled_channels(channels, map.projection), [&](float* packed) {
        const std::vector<double> product = project(mask.data(), 1, channels, map, isa);
        std::transform(product.begin(), product.end(), packed,
                       [scale](double value) { return static_cast<float>(value * scale); });
      });
}

FirstLayer attention_first_layer(const Node& block, const PooledMap& map, Isa isa,
                                 WeightStore& store) {
  const Weight& w1 = block.weight("w1");
  const std::int64_t hidden = w1.shape[0];
  const std::int64_t channels = w1.shape[1];
  const std::int64_t pooled = pooled_channels(channels, map.projection);
  const double scale = scale_of(map);
  FirstLayer layer{};
  layer.w = store.get<float>(block.name + "/w1", pooled * hidden, [&](float* packed) {
    const std::vector<double> products = project(w1.data(), hidden, channels, map, isa);
    const double* product = products.data();
    for (std::int64_t unit = 0; unit < hidden; ++unit) {
      for (std::int64_t i = 0; i < pooled; ++i)
        packed[i * hidden + unit] = static_cast<float>(*product++ * scale);
    }
  });
  const auto b1 = block.weights.find("b1");
  const float* bias = b1 == block.weights.end() ? nullptr : b1->second.data();
  const float* base = map.projection == nullptr ? nullptr : map.projection->bias();
  const double zero = map.quantization ? scale * map.quantization->zero_point : 0.0;
  if (bias == nullptr && base == nullptr && zero == 0.0) return layer;
  layer.b = store.get<float>(block.name + "/b1", hidden, [&](float* packed) {
    std::vector<double> products;
    if (zero != 0.0) products = project(w1.data(), hidden, channels, map, isa);
    for (std::int64_t unit = 0; unit < hidden; ++unit) {
      double sum = bias == nullptr ? 0.0 : bias[unit];
      const float* row = w1.data() + unit * channels;
      for (std::int64_t c = 0; base != nullptr && c < channels; ++c)
        sum += static_cast<double>(row[c]) * base[c];
      for (std::int64_t i = 0; zero != 0.0 && i < pooled; ++i)
        sum -= products[static_cast<std::size_t>(unit * pooled + i)] * zero;
      packed[unit] = static_cast<float>(sum);
    }
  });
  return layer;
}

const float* attention_second_layer(const Node& block, WeightStore& store) {
  const Weight& w2 = block.weight("w2");
  const std::int64_t channels = w2.shape[0];
  const std::int64_t hidden = w2.shape[1];
  return store.get<float>(block.name + "/w2", channels * hidden, [&](float* packed) {
    const float* w = w2.data();
    for (std::int64_t c = 0; c < channels; ++c) {
      for (std::int64_t unit = 0; unit < hidden; ++unit) packed[unit * channels + c] = *w++;
    }
  });
}

}  // namespace lpn
