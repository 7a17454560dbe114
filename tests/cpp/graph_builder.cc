#include "graph_builder.h"

#include <cmath>

namespace lpn::test {

GraphBuilder::GraphBuilder(std::int64_t channels) { graph_.add_input("image", channels); }

Graph GraphBuilder::finish(const std::vector<std::string>& outputs) {
  Graph whole = graph_;
  for (const std::string& output : outputs) whole.add_output(output);
  return whole;
}

// Scaled so that activations keep their size from layer to layer.
Weight GraphBuilder::random_weight(const std::vector<std::int64_t>& shape) {
  std::int64_t size = 1;
  for (const std::int64_t axis : shape) size *= axis;
  const auto fan_in = static_cast<float>(shape.size() > 1 ? size / shape[0] : 4);
  std::normal_distribution<float> normal(0.0f, std::sqrt(2.0f / fan_in));
  Buffer<float> values(static_cast<std::size_t>(size));
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = normal(random_);
  return {shape, std::make_shared<const Buffer<float>>(std::move(values))};
}

std::string GraphBuilder::add_node(const std::string& kind, const std::vector<std::string>& inputs,
                                   const std::map<std::string, AttributeValue>& attributes,
                                   std::map<std::string, Weight> weights) {
  const std::string name = kind + std::to_string(count_++);
  graph_.add_node(kind, name, inputs, attributes, std::move(weights));
  return name;
}

std::string GraphBuilder::conv(const std::string& input, std::int64_t in_c, std::int64_t out_c,
                               const ConvOptions& options) {
  std::map<std::string, Weight> weights{
      {"weight", random_weight({out_c, in_c / options.groups, options.kernel, options.kernel})}};
  if (options.bias) weights.emplace("bias", random_weight({out_c}));
  return add_node("conv2d", {input},
                  {{"stride", options.stride},
                   {"padding", options.padding},
                   {"groups", options.groups},
                   {"activation", options.activation}},
                  std::move(weights));
}

std::string GraphBuilder::depthwise(const std::string& input, std::int64_t c,
                                    const ConvOptions& options) {
  ConvOptions depthwise = options;
  depthwise.groups = c;
  return conv(input, c, c, depthwise);
}

std::string GraphBuilder::conv_transpose(const std::string& input, std::int64_t in_c,
                                         std::int64_t out_c, const ConvOptions& options) {
  std::map<std::string, Weight> weights{
      {"weight", random_weight({in_c, out_c / options.groups, options.kernel, options.kernel})}};
  if (options.bias) weights.emplace("bias", random_weight({out_c}));
  return add_node("conv_transpose2d", {input},
                  {{"stride", options.stride},
                   {"padding", options.padding},
                   {"groups", options.groups},
                   {"activation", options.activation}},
                  std::move(weights));
}

std::string GraphBuilder::max_pool(const std::string& input, std::int64_t kernel,
                                   std::int64_t stride, std::int64_t padding) {
  return add_node("max_pool2d", {input},
                  {{"kernel", kernel}, {"stride", stride}, {"padding", padding}}, {});
}

std::string GraphBuilder::add(const std::string& a, const std::string& b,
                              const std::string& activation) {
  return add_node("add", {a, b}, {{"activation", activation}}, {});
}

std::string GraphBuilder::gc_block(const std::string& input, std::int64_t c, std::int64_t hidden) {
  return add_node("gc_block", {input}, {{"epsilon", 1e-5}},
                  {{"mask_weight", random_weight({c})},
                   {"mask_bias", random_weight({1})},
                   {"w1", random_weight({hidden, c})},
                   {"b1", random_weight({hidden})},
                   {"norm_weight", random_weight({hidden})},
                   {"norm_bias", random_weight({hidden})},
                   {"w2", random_weight({c, hidden})},
                   {"b2", random_weight({c})}});
}

std::string GraphBuilder::se_block(const std::string& input, std::int64_t c, std::int64_t hidden) {
  return add_node("se_block", {input}, {},
                  {{"w1", random_weight({hidden, c})}, {"w2", random_weight({c, hidden})}});
}

std::string GraphBuilder::bottleneck(const std::string& input, std::int64_t in_c,
                                     std::int64_t out_c, std::int64_t stride,
                                     const std::string& attention) {
  ConvOptions relu;
  relu.activation = "relu";
  std::string x = conv(input, in_c, out_c, relu);
  ConvOptions spatial = relu;
  spatial.kernel = 3;
  spatial.stride = stride;
  spatial.padding = 1;
  x = conv(depthwise(x, out_c, spatial), out_c, out_c, {});
  if (attention == "gc") x = gc_block(x, out_c, 16);
  if (attention == "se") x = se_block(x, out_c, 16);
  std::string shortcut = input;
  if (stride != 1 || in_c != out_c) {
    ConvOptions projection;
    projection.stride = stride;
    shortcut = conv(input, in_c, out_c, projection);
  }
  return add(x, shortcut, "relu");
}

}  // namespace lpn::test
