// Small random graphs for the engine's tests.
#pragma once

#include <map>
#include <random>
#include <string>
#include <vector>

#include "engine/graph/graph.h"

namespace lpn::test {

struct ConvOptions {
  std::int64_t kernel = 1;
  std::int64_t stride = 1;
  std::int64_t padding = 0;
  std::int64_t groups = 1;
  std::string activation = "none";
  bool bias = true;
};

// Adds nodes with random weights; every function returns the name of the node it made.
class GraphBuilder {
 public:
  explicit GraphBuilder(std::int64_t channels);

  Graph finish(const std::string& output) { return finish(std::vector<std::string>{output}); }
  Graph finish(const std::vector<std::string>& outputs);

  std::string conv(const std::string& input, std::int64_t in_c, std::int64_t out_c,
                   const ConvOptions& options);
  std::string depthwise(const std::string& input, std::int64_t c, const ConvOptions& options);
  std::string conv_transpose(const std::string& input, std::int64_t in_c, std::int64_t out_c,
                             const ConvOptions& options);
  std::string max_pool(const std::string& input, std::int64_t kernel, std::int64_t stride,
                       std::int64_t padding);
  // Of a kind without weights.
  std::string node(const std::string& kind, const std::vector<std::string>& inputs,
                   const std::map<std::string, AttributeValue>& attributes = {}) {
    return add_node(kind, inputs, attributes, {});
  }
  std::string add(const std::string& a, const std::string& b, const std::string& activation);
  std::string gc_block(const std::string& input, std::int64_t c, std::int64_t hidden);
  std::string se_block(const std::string& input, std::int64_t c, std::int64_t hidden);

  // A lightweight bottleneck with "gc", "se" or "none" and, where the shape changes, a projected
  // shortcut.
  std::string bottleneck(const std::string& input, std::int64_t in_c, std::int64_t out_c,
                         std::int64_t stride, const std::string& attention);

 private:
  Weight random_weight(const std::vector<std::int64_t>& shape);
  std::string add_node(const std::string& kind, const std::vector<std::string>& inputs,
                       const std::map<std::string, AttributeValue>& attributes,
                       std::map<std::string, Weight> weights);

  Graph graph_;
  std::mt19937 random_{11};
  int count_ = 0;
};

}  // namespace lpn::test
