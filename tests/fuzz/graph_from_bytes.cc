#include "graph_from_bytes.h"

#include <array>
#include <cstring>
#include <limits>
#include <map>
#include <memory>
#include <string>

namespace lpn::fuzz {
namespace {

constexpr std::int64_t kMaxWeights = 1 << 14;  // of one array

// An array of exactly its size, so that AddressSanitizer sees every stray read.
template <class T>
std::shared_ptr<const T> hold(const std::vector<T>& values) {
  T* copy = new T[values.size()];
  if (!values.empty()) std::memcpy(copy, values.data(), values.size() * sizeof(T));
  return {copy, [](const T* data) { delete[] data; }};
}

Weight make_weight(ByteSource& source, std::vector<std::int64_t> shape) {
  if (source.one_in(64)) shape[source.byte() % shape.size()] = source.byte() % 20;
  if (source.one_in(128)) shape.push_back(1);
  std::int64_t size = 1;
  for (std::int64_t& axis : shape) {
    if (axis < 0 || axis > kMaxWeights / size) axis = 1;
    size *= axis > 0 ? axis : 1;
  }
  for (const std::int64_t axis : shape) size = axis == 0 ? 0 : size;
  const std::vector<float> values = source.values(static_cast<std::size_t>(size));
  if (shape.size() < 2 || !source.one_in(8)) {
    return {shape, std::make_shared<const WeightValues>(hold(values), values.size())};
  }
  std::vector<Bfloat16> halves(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) {
    std::uint32_t bits;
    std::memcpy(&bits, &values[i], sizeof(bits));
    halves[i] = static_cast<Bfloat16>(bits >> 16);
  }
  return {shape, std::make_shared<const WeightValues>(hold(halves), halves.size())};
}

// A node in the making: what it is given before the graph checks it.
struct Draft {
  std::vector<std::string> inputs;
  std::map<std::string, AttributeValue> attributes;
  std::map<std::string, Weight> weights;
};

class Builder {
 public:
  explicit Builder(ByteSource& source) : source_(source) {
    const std::int64_t channels = source_.channels();
    graph_.add_input("image", channels);
    tensors_.push_back({"image", channels});
  }

  void add_node() {
    const Tensor& input = choose_tensor();
    Draft draft;
    draft.inputs = {source_.one_in(128) ? "absent" : input.name};
    const std::int64_t c = input.channels;
    std::int64_t out = c;
    std::string kind;
    switch (source_.byte() % 11) {
      case 0:
        kind = "conv2d";
        out = source_.channels();
        add_window(draft);
        draft.attributes["groups"] = source_.integer({1});
        add_filters(draft, {out, c, 1, 1}, out);
        break;
      case 1:
        kind = "conv2d";
        out = source_.channels();
        add_window(draft);
        draft.attributes["groups"] = source_.integer({1});
        add_filters(draft, {out, c, kernel(), kernel()}, out);
        break;
      case 2:
        kind = "conv2d";
        add_window(draft);
        draft.attributes["groups"] = source_.integer({c});
        add_filters(draft, {c, 1, kernel(), kernel()}, c);
        break;
      case 3: {
        kind = "conv_transpose2d";
        const std::int64_t groups = source_.one_in(2) ? c : 1;
        const std::int64_t per_group = groups == 1 ? source_.channels() : 1 + source_.byte() % 3;
        out = per_group * groups;
        add_window(draft);
        draft.attributes["groups"] = source_.integer({groups});
        add_filters(draft, {c, per_group, kernel(), kernel()}, out);
        break;
      }
      case 4:
        kind = "max_pool2d";
        draft.attributes = {{"kernel", source_.integer({2, 3, 3, 1, 5})},
                            {"stride", source_.integer({1, 2, 3})},
                            {"padding", source_.integer({0, 1, 2})}};
        break;
      case 5:
        kind = "add";
        draft.inputs.push_back(choose_tensor().name);
        draft.attributes["activation"] = activation();
        break;
      case 6: {
        kind = "gc_block";
        const std::int64_t h = source_.channels();
        draft.attributes["epsilon"] = source_.one_in(16) ? 0.0 : 1e-5;
        add_weights(draft, {{"mask_weight", {c}},
                            {"mask_bias", {1}},
                            {"w1", {h, c}},
                            {"b1", {h}},
                            {"norm_weight", {h}},
                            {"norm_bias", {h}},
                            {"w2", {c, h}},
                            {"b2", {c}}});
        break;
      }
      case 7:
        kind = "concat";
        for (int more = source_.byte() % 4; more > 0; --more) {
          const Tensor& other = choose_tensor();
          draft.inputs.push_back(other.name);
          out += other.channels;
        }
        break;
      case 8:
        kind = "upsample_nearest";
        draft.attributes["factor"] = source_.integer({2, 1, 3});
        break;
      case 9:
        kind = "global_avg_pool";
        break;
      default: {
        kind = "se_block";
        const std::int64_t h = source_.channels();
        add_weights(draft, {{"w1", {h, c}}, {"w2", {c, h}}});
      }
    }
    const std::string name = source_.one_in(128) ? "image" : kind + std::to_string(tensors_.size());
    graph_.add_node(kind, name, draft.inputs, draft.attributes, std::move(draft.weights));
    tensors_.push_back({name, out});
  }

  Graph finish() {
    graph_.add_output(source_.one_in(8) ? choose_tensor().name : tensors_.back().name);
    while (source_.one_in(8)) graph_.add_output(choose_tensor().name);
    return std::move(graph_);
  }

 private:
  struct Tensor {
    std::string name;
    std::int64_t channels;
  };

  // Usually the latest, which makes chains that can be fused.
  const Tensor& choose_tensor() {
    const std::size_t back = source_.one_in(4) ? source_.byte() % tensors_.size() : 0;
    return tensors_[tensors_.size() - 1 - back];
  }

  std::int64_t kernel() { return source_.integer({3, 1, 4, 2, 5, 7, 3, 40}); }

  std::string activation() {
    static const std::array<const char*, 4> kNames{"relu", "none", "relu6", "relu"};
    return source_.one_in(128) ? "gelu" : kNames[source_.byte() % kNames.size()];
  }

  void add_window(Draft& draft) {
    draft.attributes["stride"] = source_.integer({1, 2, 1, 3, 5});
    draft.attributes["padding"] = source_.integer({0, 1, 1, 2, 3, 9});
    draft.attributes["activation"] = activation();
  }

  void add_filters(Draft& draft, const std::vector<std::int64_t>& shape, std::int64_t out) {
    draft.weights["weight"] = make_weight(source_, shape);
    if (!source_.one_in(4)) draft.weights["bias"] = make_weight(source_, {out});
  }

  void add_weights(Draft& draft, const std::map<std::string, std::vector<std::int64_t>>& shapes) {
    for (const auto& [name, shape] : shapes) draft.weights[name] = make_weight(source_, shape);
  }

  ByteSource& source_;
  Graph graph_;
  std::vector<Tensor> tensors_;
};

}  // namespace

std::int64_t ByteSource::channels() {
  static const std::array<std::int64_t, 16> kChannels{3,  1,  2,  4,  5,  7,  8,  9,
                                                      15, 16, 17, 24, 31, 32, 33, 48};
  return kChannels[byte() % kChannels.size()];
}

std::int64_t ByteSource::side() { return 1 + byte() % 40; }

std::int64_t ByteSource::integer(const std::vector<std::int64_t>& usual) {
  static const std::array<std::int64_t, 12> kUnusual{-1,
                                                     0,
                                                     64,
                                                     1 << 10,
                                                     1 << 14,
                                                     1 << 18,
                                                     1 << 20,
                                                     (1 << 20) + 1,
                                                     std::int64_t{1} << 32,
                                                     std::int64_t{1} << 62,
                                                     std::numeric_limits<std::int64_t>::max(),
                                                     std::numeric_limits<std::int64_t>::min()};
  const std::uint8_t choice = byte();
  if (choice >= 250) return kUnusual[byte() % kUnusual.size()];
  return usual[choice % usual.size()];
}

std::vector<float> ByteSource::values(std::size_t size) {
  static const std::array<float, 8> kUnusual{std::numeric_limits<float>::quiet_NaN(),
                                             std::numeric_limits<float>::infinity(),
                                             -std::numeric_limits<float>::infinity(),
                                             std::numeric_limits<float>::max(),
                                             std::numeric_limits<float>::lowest(),
                                             std::numeric_limits<float>::denorm_min(),
                                             -0.0f,
                                             1e30f};
  const std::uint8_t choice = byte();
  std::vector<float> values(size);
  if (choice == 255) return values;
  std::uint32_t state = 2463534242u + choice;
  for (float& value : values) {
    state ^= state << 13;
    state ^= state >> 17;
    state ^= state << 5;
    value = static_cast<float>(static_cast<std::int32_t>(state)) * 0x1p-31f;
    if (choice >= 240 && state % 8 == 0) value = kUnusual[state / 8 % kUnusual.size()];
  }
  return values;
}

void quantize(Graph& graph, ByteSource& source) {
  static const std::array<float, 4> kScales{0.01f, 0.02f, 1.0f, 1e-20f};
  std::vector<std::string> names;
  for (const Node& node : graph.nodes()) names.push_back(node.name);
  for (const std::string& name : names) {
    const std::uint8_t choice = source.byte();
    if (choice % 8 == 7) continue;
    const float scale = kScales[choice >= 250 ? choice % kScales.size() : choice % 2];
    graph.set_quantization(name, {scale, source.one_in(4) ? source.byte() : 0});
    if (source.one_in(8)) graph.keep_float(name);
  }
  if (graph.input_channels() == 3 && source.one_in(2))
    graph.set_pixels({{2, 1, 0}, {0.02, 0.01, 0.03}, {-1.5, 0.0, 0.5}});
}

Graph make_graph(ByteSource& source) {
  Builder builder(source);
  const int nodes = 1 + source.byte() % 8;
  for (int i = 0; i < nodes; ++i) builder.add_node();
  return builder.finish();
}

}  // namespace lpn::fuzz
