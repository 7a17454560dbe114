// A network as data: typed nodes over named NHWC tensors, checked as they are added.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/graph/node.h"
#include "engine/graph/quantization.h"
#include "engine/graph/tensor.h"

namespace lpn {

class Graph {
 public:
  void add_input(const std::string& name, std::int64_t channels);
  void add_node(const std::string& kind, const std::string& name,
                const std::vector<std::string>& inputs,
                const std::map<std::string, AttributeValue>& attributes,
                std::map<std::string, Weight> weights);
  void add_output(const std::string& name);

  // What a tensor's values are stored as where a network computes in bytes.
  void set_quantization(const std::string& tensor, const Quantization& quantization);
  // A node that computes in floating point, also where its network does in bytes.
  void keep_float(const std::string& node);
  // What makes a network's input of pixels: one that computes in bytes takes those themselves.
  void set_pixels(PixelInput pixels);

  const std::vector<Node>& nodes() const { return nodes_; }
  std::int64_t input_channels() const { return channels_.at(0); }
  std::int64_t channels(std::size_t tensor) const { return channels_[tensor]; }
  const std::vector<int>& outputs() const { return outputs_; }
  const std::optional<Quantization>& quantization(std::size_t tensor) const {
    return quantizations_[tensor];
  }
  const std::optional<PixelInput>& pixels() const { return pixels_; }
  const std::unordered_map<std::string, int>& tensor_numbers() const { return tensor_numbers_; }

  // Throws unless there is an input and at least one output.
  void check_complete() const;

  // The shape of every tensor for an input of h x w; throws when a node cannot take the size that
  // reaches it.
  std::vector<Shape> infer_shapes(std::int64_t h, std::int64_t w) const;

 private:
  // -1 when there is none.
  int find_tensor(const std::string& name) const;
  void add_tensor(const std::string& name, std::int64_t channels);

  std::vector<std::int64_t> channels_;                   // of every tensor
  std::unordered_map<std::string, int> tensor_numbers_;  // by name
  std::vector<Node> nodes_;
  std::vector<int> outputs_;
  std::vector<std::optional<Quantization>> quantizations_;  // of every tensor
  std::optional<PixelInput> pixels_;
};

}  // namespace lpn
