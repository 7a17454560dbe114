// A transposed convolution joined with the 1x1 convolutions behind it gives the bits of the same
// layers one by one.
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "engine/run/compiled_model.h"
#include "graph_builder.h"
#include "model_runs.h"
#include "test.h"

namespace lpn {
namespace {

using test::ConvOptions;
using test::GraphBuilder;
using test::random_images;
using test::run_model;
using test::same_bits;

constexpr std::int64_t kChannels = 24;

struct Upsampling {
  std::int64_t kernel, stride, padding, groups, out_c;
  std::vector<std::int64_t> widths;  // of the 1x1 convolutions behind it
};

// Layers [begin, end) of the network, always with the same weights: those before are made, too, but
// not part of what the output depends on.
Graph layers(const Upsampling& upsampling, std::size_t begin, std::size_t end) {
  ConvOptions deconv;
  deconv.kernel = upsampling.kernel;
  deconv.stride = upsampling.stride;
  deconv.padding = upsampling.padding;
  deconv.groups = upsampling.groups;
  deconv.activation = "relu";
  GraphBuilder whole(kChannels);
  std::string x = whole.conv_transpose("image", kChannels, upsampling.out_c, deconv);
  std::int64_t channels = upsampling.out_c;
  for (std::size_t i = 0; i < upsampling.widths.size(); ++i) {
    ConvOptions pointwise;
    pointwise.activation = i + 1 < upsampling.widths.size() ? "relu6" : "none";
    x = whole.conv(x, channels, upsampling.widths[i], pointwise);
    channels = upsampling.widths[i];
  }
  const Graph source = whole.finish(x);

  Graph graph;
  std::string input = "image";
  graph.add_input(input, begin == 0 ? kChannels : source.nodes()[begin].weight("weight").shape[1]);
  for (std::size_t i = begin; i < end; ++i) {
    const Node& node = source.nodes()[i];
    const char* activation = node.attributes.activation() == Activation::kRelu    ? "relu"
                             : node.attributes.activation() == Activation::kRelu6 ? "relu6"
                                                                                  : "none";
    graph.add_node(i == 0 ? "conv_transpose2d" : "conv2d", node.name, {input},
                   {{"stride", node.attributes.integer("stride")},
                    {"padding", node.attributes.integer("padding")},
                    {"groups", node.attributes.integer("groups")},
                    {"activation", activation}},
                   node.weights);
    input = node.name;
  }
  graph.add_output(input);
  return graph;
}

void check(const Upsampling& upsampling, const Shape& shape) {
  const std::size_t count = 1 + upsampling.widths.size();
  const std::vector<float> image = random_images(1, shape);
  for (const Isa isa : supported_isas()) {
    std::vector<float> expected = image;
    Shape at = shape;
    for (std::size_t i = 0; i < count; ++i) {
      CompiledModel layer(layers(upsampling, i, i + 1), 1, isa);
      expected = run_model(layer, expected, 1, at);
      at = layer.prepare(at.h, at.w)->plan().outputs().front();
    }
    for (const int threads : {1, 2, 3}) {
      CompiledModel joined(layers(upsampling, 0, count), threads, isa);
      EXPECT(joined.prepare(shape.h, shape.w)->plan().steps().size() == 1, "not joined");
      EXPECT(same_bits(run_model(joined, image, 1, shape), expected), count - 1,
             " convolutions behind ", upsampling.out_c, " channels, stride ", upsampling.stride,
             ", ", shape, " on ", isa_name(isa), " with ", threads, " threads");
    }
  }
}

}  // namespace

LPN_TEST(upsample_gives_the_bits_of_its_layers) {
  const std::vector<std::vector<std::int64_t>> tails = {{}, {17}, {33, 1}, {65, 40, 17}};
  for (const std::vector<std::int64_t>& widths : tails) {
    for (const Shape& shape :
         {Shape{1, 1, kChannels}, Shape{5, 3, kChannels}, Shape{12, 17, kChannels}}) {
      check({4, 2, 1, 12, 12, widths}, shape);
      check({3, 1, 1, 24, 24, widths}, shape);
      check({5, 3, 1, 8, 72, widths}, shape);
      check({2, 2, 0, 1, 5, widths}, shape);
    }
  }
}

}  // namespace lpn
