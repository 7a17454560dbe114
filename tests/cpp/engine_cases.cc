#include "engine_cases.h"

#include <cstdint>

#include "graph_builder.h"

namespace lpn::test {
namespace {

ConvOptions spatial(std::int64_t kernel, std::int64_t stride, std::int64_t padding,
                    const char* activation = "relu") {
  ConvOptions options;
  options.kernel = kernel;
  options.stride = stride;
  options.padding = padding;
  options.activation = activation;
  return options;
}

ConvOptions activated(const char* activation) { return spatial(1, 1, 0, activation); }

ConvOptions grouped(ConvOptions options, std::int64_t groups, bool bias) {
  options.groups = groups;
  options.bias = bias;
  return options;
}

Graph attention_without_projection(const std::string& attention) {
  GraphBuilder b(8);
  std::string x = b.max_pool("image", 3, 1, 1);
  x = attention == "gc" ? b.gc_block(x, 8, 16) : b.se_block(x, 8, 16);
  x = b.conv(x, 8, 12, spatial(3, 1, 1));
  x = attention == "gc" ? b.gc_block(x, 12, 5) : b.se_block(x, 12, 5);
  return b.finish(x);
}

// The convolution's result is also read by another node, so the block cannot be moved in front of
// it.
Graph attention_on_shared_convolution() {
  GraphBuilder b(8);
  const std::string x = b.conv(b.depthwise("image", 8, spatial(3, 1, 1)), 8, 8, {});
  return b.finish(b.add(b.gc_block(x, 8, 16), x, "none"));
}

// The block is the output: nothing is added to it. Its projection has no bias, its pooled tensor is
// the input.
Graph attention_at_the_end() {
  GraphBuilder b(8);
  const std::string x = b.conv("image", 8, 20, grouped({}, 1, false));
  return b.finish(b.se_block(x, 20, 6));
}

// Two blocks pool the same depthwise result: one while it is written, one in a pass of its own.
Graph two_blocks_on_one_tensor() {
  GraphBuilder b(8);
  const std::string y = b.depthwise("image", 8, spatial(5, 1, 2));
  const std::string first = b.gc_block(b.conv(y, 8, 8, grouped({}, 1, false)), 8, 16);
  const std::string second = b.se_block(b.conv(y, 8, 8, {}), 8, 16);
  return b.finish(b.add(first, second, "relu"));
}

Graph plain_additions() {
  GraphBuilder b(8);
  const std::string x = b.depthwise("image", 8, spatial(7, 1, 3));
  const std::string y = b.add(x, "image", "relu6");
  const std::string z = b.add(y, y, "none");
  return b.finish(b.add(b.conv_transpose(z, 8, 8, spatial(3, 1, 1)), x, "relu"));
}

// A node nobody reads, one that is read twice, and a residual that lives on after it was added.
Graph branches() {
  GraphBuilder b(8);
  const std::string x = b.conv("image", 8, 8, activated("relu"));
  b.conv(x, 8, 4, {});
  const std::string y = b.add(b.conv(x, 8, 8, spatial(3, 1, 1, "none")), x, "relu");
  return b.finish(b.add(b.conv(y, 8, 8, {}), x, "none"));
}

// conv(x) + x in place would overwrite what the convolution still reads.
Graph residual_is_the_input() {
  GraphBuilder b(8);
  const std::string x = b.conv("image", 8, 70, activated("relu"));
  return b.finish(b.conv(b.add(b.conv(x, 70, 70, {}), x, "relu"), 70, 8, {}));
}

ConvOptions deconv(std::int64_t groups) { return grouped(spatial(4, 2, 1), groups, false); }

// A map that somebody else reads cannot disappear between an upsampling's rows: the transposed
// convolution's own, and that of the 1x1 convolution behind it.
Graph upsampled_map_is_shared() {
  GraphBuilder b(8);
  const std::string x = b.conv_transpose("image", 8, 8, deconv(8));
  return b.finish(b.add(b.conv(x, 8, 8, activated("relu")), x, "none"));
}

Graph upsampled_chain_is_shared() {
  GraphBuilder b(8);
  const std::string x = b.conv_transpose("image", 8, 16, deconv(4));
  const std::string y = b.conv(x, 16, 12, activated("relu"));
  return b.finish(b.add(b.conv(y, 12, 12, activated("relu6")), y, "none"));
}

// What follows the output is not run: neither joined nor counted as its reader.
Graph upsampled_map_is_the_output(std::int64_t convolutions) {
  GraphBuilder b(8);
  std::string x = b.conv_transpose("image", 8, 8, deconv(8));
  for (std::int64_t i = 0; i < convolutions; ++i) x = b.conv(x, 8, 8, activated("relu"));
  b.conv(x, 8, 8, {});
  return b.finish(x);
}

// 1x1 convolutions that need more than the rows at hand: other rows, another map, the whole map.
Graph upsampling_before_a_stride() {
  GraphBuilder b(8);
  ConvOptions strided;
  strided.stride = 2;
  return b.finish(b.conv(b.conv_transpose("image", 8, 8, deconv(8)), 8, 17, strided));
}

Graph upsampling_before_an_addition() {
  GraphBuilder b(8);
  const std::string x = b.conv_transpose("image", 8, 12, deconv(4));
  const std::string y = b.conv_transpose("image", 8, 12, deconv(2));
  return b.finish(b.add(b.conv(y, 12, 12, {}), x, "relu"));
}

Graph upsampling_before_attention() {
  GraphBuilder b(8);
  const std::string x = b.conv(b.conv_transpose("image", 8, 12, deconv(4)), 12, 17, {});
  return b.finish(b.gc_block(x, 17, 5));
}

}  // namespace

Graph bottlenecks(const std::string& attention) {
  GraphBuilder b(8);
  const std::string x = b.bottleneck("image", 8, 8, 1, attention);
  return b.finish(b.bottleneck(x, 8, 24, 2, attention));
}

// Every map is written among the concatenation's channels, though two of them are read elsewhere.
Graph concat_of_convolutions() {
  GraphBuilder b(8);
  const std::string x = b.conv("image", 8, 5, activated("relu"));
  const std::string y = b.conv("image", 8, 7, spatial(3, 1, 1));
  const std::string z = b.add(b.conv(x, 5, 5, {}), x, "relu");
  return b.finish(b.conv(b.node("concat", {x, y, z}), 17, 6, spatial(3, 1, 1)));
}

// One concatenation lies in another, which is the output.
Graph concat_of_concat() {
  GraphBuilder b(8);
  const std::string x = b.conv("image", 8, 3, {});
  const std::string inner = b.node("concat", {b.add(x, x, "none"), x});
  const std::string scaled = b.se_block(b.max_pool("image", 3, 1, 1), 8, 4);
  return b.finish(b.node("concat", {inner, scaled}));
}

// Copied are the input, what the pooling can only write whole, and a map that is there twice.
Graph concat_with_copies() {
  GraphBuilder b(8);
  const std::string x = b.conv("image", 8, 6, {});
  const std::string joined = b.node("concat", {x, "image", b.max_pool("image", 3, 1, 1), x});
  return b.finish(b.conv(joined, 28, 5, {}));
}

// In place, the sum would overwrite what its convolution still reads.
Graph sum_over_a_concat_of_its_input() {
  GraphBuilder b(8);
  const std::string x = b.conv("image", 8, 6, activated("relu"));
  const std::string joined = b.node("concat", {x, b.conv("image", 8, 64, {})});
  return b.finish(b.conv(b.add(b.conv(x, 6, 70, {}), joined, "none"), 70, 4, {}));
}

Graph concat_of_upsamplings() {
  GraphBuilder b(8);
  const ConvOptions twice = grouped(spatial(4, 2, 1), 4, true);
  const std::string x = b.conv(b.conv_transpose("image", 8, 8, twice), 8, 12, {});
  const std::string y = b.conv(b.conv_transpose("image", 8, 12, twice), 12, 5, {});
  ConvOptions strided;
  strided.stride = 2;
  return b.finish(b.conv(b.node("concat", {x, y}), 17, 4, strided));
}

// What is upsampled is written in place, the shortcut is copied: a 3x3 convolution reads it whole.
Graph upsampling_beside_a_shortcut() {
  GraphBuilder b(8);
  const std::string x = b.conv("image", 8, 12, spatial(3, 1, 1));
  const std::string y = b.conv(x, 12, 16, spatial(3, 2, 1));
  const std::string up = b.node("upsample_nearest", {y}, {{"factor", std::int64_t{2}}});
  return b.finish(b.conv(b.node("concat", {up, x}), 28, 5, {}));
}

// One mean is of partial sums that a depthwise convolution takes while it writes.
Graph concat_of_means() {
  GraphBuilder b(8);
  const std::string first = b.node("global_avg_pool", {"image"});
  const std::string second = b.node("global_avg_pool", {b.depthwise("image", 8, spatial(3, 1, 1))});
  return b.finish(b.conv(b.node("concat", {first, second}), 16, 5, {}));
}

// One is read on, one is a residual that must not be overwritten, one is nobody's input.
Graph several_outputs() {
  GraphBuilder b(8);
  const std::string x = b.conv("image", 8, 12, activated("relu"));
  const std::string y = b.add(b.conv(x, 12, 12, {}), x, "relu");
  const std::string z = b.depthwise(y, 12, spatial(3, 2, 1));
  return b.finish({b.se_block(y, 12, 5), z, x});
}

Graph whole_network(const std::string& attention) {
  GraphBuilder b(3);
  std::string x = b.max_pool(b.conv("image", 3, 16, spatial(7, 2, 3)), 3, 2, 1);
  x = b.bottleneck(x, 16, 16, 1, attention);
  x = b.bottleneck(x, 16, 32, 2, attention);
  x = b.conv_transpose(x, 32, 16, grouped(spatial(4, 2, 1), 16, false));
  x = b.conv(x, 16, 16, activated("relu6"));
  return b.finish(b.conv(x, 16, 17, {}));
}

std::vector<EngineCase> engine_cases() {
  std::vector<EngineCase> all;
  all.push_back({"bottlenecks_gc", 4 + 5, bottlenecks("gc")});
  all.push_back({"bottlenecks_se", 4 + 5, bottlenecks("se")});
  all.push_back({"bottlenecks_none", 3 + 4, bottlenecks("none")});
  all.push_back({"whole_network_gc", 2 + 4 + 5 + 1, whole_network("gc")});
  all.push_back({"whole_network_none", 2 + 3 + 4 + 1, whole_network("none")});
  all.push_back({"gc_without_projection", 8, attention_without_projection("gc")});
  all.push_back({"se_without_projection", 8, attention_without_projection("se")});
  all.push_back({"attention_on_shared_convolution", 6, attention_on_shared_convolution()});
  all.push_back({"attention_at_the_end", 3, attention_at_the_end()});
  all.push_back({"two_blocks_on_one_tensor", 6, two_blocks_on_one_tensor()});
  all.push_back({"plain_additions", 5, plain_additions()});
  all.push_back({"branches", 3, branches()});
  all.push_back({"residual_is_the_input", 3, residual_is_the_input()});
  all.push_back({"concat_of_convolutions", 4, concat_of_convolutions()});
  all.push_back({"concat_of_concat", 6, concat_of_concat()});
  all.push_back({"concat_with_copies", 4, concat_with_copies()});
  all.push_back({"sum_over_a_concat_of_its_input", 4, sum_over_a_concat_of_its_input()});
  all.push_back({"concat_of_upsamplings", 3, concat_of_upsamplings()});
  all.push_back({"upsampling_beside_a_shortcut", 5, upsampling_beside_a_shortcut()});
  all.push_back({"concat_of_means", 5, concat_of_means()});
  all.push_back({"several_outputs", 6, several_outputs()});
  all.push_back({"upsampled_map_is_shared", 3, upsampled_map_is_shared()});
  all.push_back({"upsampled_chain_is_shared", 3, upsampled_chain_is_shared()});
  for (const std::int64_t convolutions : {0, 1, 2, 3}) {
    all.push_back({"upsampled_map_is_the_output", 1, upsampled_map_is_the_output(convolutions)});
  }
  all.push_back({"upsampling_before_a_stride", 2, upsampling_before_a_stride()});
  all.push_back({"upsampling_before_an_addition", 3, upsampling_before_an_addition()});
  all.push_back({"upsampling_before_attention", 4, upsampling_before_attention()});
  return all;
}

}  // namespace lpn::test
