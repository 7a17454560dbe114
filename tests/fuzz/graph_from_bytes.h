// Graphs made of bytes: any bytes give one, mostly a sound one, near the bounds of what is allowed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "engine/graph/graph.h"

namespace lpn::fuzz {

// Bytes one by one; 0 after the last.
class ByteSource {
 public:
  ByteSource(const std::uint8_t* data, std::size_t size) : data_(data), end_(data + size) {}

  bool empty() const { return data_ == end_; }
  std::uint8_t byte() { return empty() ? std::uint8_t{0} : *data_++; }
  // Never true of zeros.
  bool one_in(int n) { return byte() % n == n - 1; }
  std::int64_t channels();
  std::int64_t side();
  // `usual` of them, rarely one that no one would want.
  std::int64_t integer(const std::vector<std::int64_t>& usual);
  // Random, rarely all of them zero, or some that are huge, tiny or no numbers.
  std::vector<float> values(std::size_t size);

 private:
  const std::uint8_t* data_;
  const std::uint8_t* end_;
};

// Throws std::invalid_argument where the graph is not a sound one.
Graph make_graph(ByteSource& source);

// Scales for most of its maps, nodes that stay float, and now and then its input's pixels.
void quantize(Graph& graph, ByteSource& source);

}  // namespace lpn::fuzz
