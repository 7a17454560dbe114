// Graphs through plan and run on every tier, against the reference in double.
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

#include "base/cpu_features.h"
#include "engine/compiled_model.h"
#include "engine/fusion.h"
#include "graph_builder.h"
#include "model_runs.h"
#include "reference_graph.h"
#include "test.h"

namespace lpn {
namespace {

using test::ConvOptions;
using test::GraphBuilder;
using test::random_images;
using test::ReferenceMap;
using test::run_model;
using test::same_bits;

struct Case {
  const char* name;
  std::size_t steps;  // of the plan: what fusion must reach
  Graph graph;
};

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

Graph bottlenecks(const std::string& attention) {
  GraphBuilder b(8);
  const std::string x = b.bottleneck("image", 8, 8, 1, attention);
  return b.finish(b.bottleneck(x, 8, 24, 2, attention));
}

// Every kind of node in LPN's order: stem, pooling, blocks, head.
Graph whole_network(const std::string& attention) {
  GraphBuilder b(3);
  std::string x = b.max_pool(b.conv("image", 3, 16, spatial(7, 2, 3)), 3, 2, 1);
  x = b.bottleneck(x, 16, 16, 1, attention);
  x = b.bottleneck(x, 16, 32, 2, attention);
  x = b.conv_transpose(x, 32, 16, grouped(spatial(4, 2, 1), 16, false));
  x = b.conv(x, 16, 16, activated("relu6"));
  return b.finish(b.conv(x, 16, 17, {}));
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

std::vector<Case> cases() {
  std::vector<Case> all;
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

// Terms of all the sums on a path through the test graphs: 147 of the stem, and below 1500 of what
// follows. Rounding errors add up at most so often; activations keep their size (GraphBuilder), and
// the blocks' norms amplify by less than the rest.
constexpr double kTerms = 2048;

void check_case(const Case& test_case, const Shape& shape) {
  constexpr std::int64_t kImages = 3;
  const std::vector<float> images = random_images(kImages, shape);
  std::vector<double> expected;
  for (std::int64_t image = 0; image < kImages; ++image) {
    ReferenceMap input(shape);
    for (std::size_t i = 0; i < input.values.size(); ++i) {
      input.values[i] = images[static_cast<std::size_t>(image) * input.values.size() + i];
    }
    const ReferenceMap output = run_reference(test_case.graph, input);
    expected.insert(expected.end(), output.values.begin(), output.values.end());
  }
  double largest = 0;
  for (const double value : expected) largest = std::max(largest, std::abs(value));
  const double tolerance = kTerms * std::numeric_limits<float>::epsilon() / 2 * largest;

  for (const Isa isa : supported_isas()) {
    CompiledModel model(test_case.graph, 1, isa);
    const std::vector<float> out = run_model(model, images, kImages, shape);
    double worst = 0;
    for (std::size_t i = 0; i < out.size(); ++i)
      worst = std::max(worst, std::abs(out[i] - expected[i]));
    EXPECT(out.size() == expected.size() && worst <= tolerance, test_case.name, " ", isa_name(isa),
           " ", shape, ": error ", worst, ", tolerance ", tolerance);
    EXPECT(model.prepare(shape.h, shape.w)->plan().steps().size() == test_case.steps,
           test_case.name, ": ", model.prepare(shape.h, shape.w)->plan().steps().size(), " steps");
    for (const int threads : {2, 3}) {
      CompiledModel threaded(test_case.graph, threads, isa);
      EXPECT(same_bits(run_model(threaded, images, kImages, shape), out), test_case.name, " ",
             isa_name(isa), " ", shape, " with ", threads, " threads");
    }
  }
}

void check_places(const Plan& plan) {
  const std::vector<Plan::Place>& places = plan.places();
  for (std::size_t i = 0; i < places.size(); ++i) {
    const Plan::Place& a = places[i];
    if (a.kind != Plan::Place::Kind::kArena) continue;
    EXPECT(a.offset + a.size <= plan.arena_size());
    for (std::size_t j = 0; j < i; ++j) {
      const Plan::Place& b = places[j];
      if (b.kind != Plan::Place::Kind::kArena) continue;
      const bool apart = a.offset + a.size <= b.offset || b.offset + b.size <= a.offset;
      // A result may take the very place of the residual that its step reads last.
      const bool in_place = a.offset == b.offset && (a.first == b.last || b.first == a.last);
      const bool alive_together = a.first <= b.last && b.first <= a.last;
      EXPECT(apart || in_place || !alive_together, "tensors ", i, " and ", j);
    }
  }
}

}  // namespace

LPN_TEST(engine_matches_reference) {
  for (const Case& test_case : cases()) {
    const std::int64_t c = test_case.graph.input_channels();
    for (const Shape& shape : {Shape{32, 24, c}, Shape{48, 16, c}, Shape{16, 48, c}})
      check_case(test_case, shape);
  }
}

// A strided 1x1 convolution whose output rows are single positions: they are not consecutive in the
// input.
LPN_TEST(engine_strides_over_narrow_maps) {
  for (const std::int64_t width : {1, 2, 3})
    check_case({"bottlenecks_none", 3 + 4, bottlenecks("none")}, Shape{9, width, 8});
}

// Many columns over few positions: both are cut, the columns at panels. All but the first end with
// a lone column; of 257 it is all there is in the last chunks.
LPN_TEST(engine_cuts_columns) {
  for (const std::int64_t columns : {16, 17, 33, 65, 257, 321}) {
    for (const char* attention : {"gc", "se", "none"}) {
      GraphBuilder b(columns);
      const std::string out = b.bottleneck("image", columns, columns, 1, attention);
      check_case({attention, std::string(attention) == "none" ? 3U : 4U, b.finish(out)},
                 Shape{7, 8, columns});
    }
    const Shape deep{13, 15, 260};
    ConvOptions strided;
    strided.stride = 2;
    GraphBuilder b(deep.c);
    const Graph graph = b.finish(b.conv("image", deep.c, columns, strided));
    check_case({"strided", 1, graph}, deep);
    CompiledModel model(graph, 1, Isa::kScalar);
    const std::int64_t chunks = model.prepare(deep.h, deep.w)->plan().steps()[0]->info().chunks;
    EXPECT(columns < 257 || chunks > 2, columns, " columns: chunks of 48 of the 56 positions only");
  }
}

LPN_TEST(engine_places_do_not_overlap) {
  for (const Case& test_case : cases()) {
    CompiledModel model(test_case.graph, 1, Isa::kScalar);
    check_places(model.prepare(32, 24)->plan());
  }
}

LPN_TEST(engine_works_in_place_and_reuses_memory) {
  CompiledModel model(whole_network("gc"), 1, Isa::kScalar);
  const Plan& plan = model.prepare(64, 48)->plan();
  std::int64_t total = 0;
  for (const Plan::Place& place : plan.places()) total += place.size;
  EXPECT(plan.arena_size() < total / 2, plan.arena_size(), " of ", total);
}

LPN_TEST(engine_gives_an_image_the_same_bits_in_any_batch) {
  const Shape shape{32, 24, 3};
  CompiledModel model(whole_network("gc"), 3, default_isa());
  const std::vector<float> images = random_images(7, shape);
  const std::vector<float> out = run_model(model, images, 7, shape);
  const std::size_t in_size = images.size() / 7;
  const std::size_t out_size = out.size() / 7;
  for (std::size_t i = 0; i < 7; ++i) {
    const std::vector<float> image(images.begin() + static_cast<std::ptrdiff_t>(i * in_size),
                                   images.begin() + static_cast<std::ptrdiff_t>((i + 1) * in_size));
    const std::vector<float> alone = run_model(model, image, 1, shape);
    EXPECT(std::memcmp(alone.data(), out.data() + i * out_size, out_size * sizeof(float)) == 0,
           "image ", i);
  }
  EXPECT(run_model(model, {}, 0, shape).empty());
}

LPN_TEST(engine_serves_many_threads_and_sizes) {
  CompiledModel model(whole_network("se"), 2, default_isa());
  const std::vector<Shape> shapes{{32, 24, 3}, {48, 32, 3}, {16, 16, 3}};
  std::vector<std::vector<float>> images;
  std::vector<std::vector<float>> expected;
  CompiledModel single(whole_network("se"), 1, default_isa());
  for (const Shape& shape : shapes) {
    images.push_back(random_images(3, shape));
    expected.push_back(run_model(single, images.back(), 3, shape));
  }
  std::vector<std::thread> threads;
  for (std::size_t i = 0; i < 6; ++i) {
    threads.emplace_back([&, i] {
      for (std::size_t round = 0; round < 10; ++round) {
        const std::size_t which = (i + round) % shapes.size();
        EXPECT(same_bits(run_model(model, images[which], 3, shapes[which]), expected[which]),
               "thread ", i);
        if (round == 5) model.release_workspaces();
      }
    });
  }
  for (std::thread& thread : threads) thread.join();
}

LPN_TEST(engine_keeps_a_few_plans) {
  CompiledModel model(whole_network("none"), 1, Isa::kScalar);
  const std::shared_ptr<PreparedPlan> first = model.prepare(32, 32);
  EXPECT(model.prepare(32, 32) == first);
  for (std::int64_t i = 0; i < 20; ++i) {
    model.prepare(16 + 16 * i, 16);
    EXPECT((model.prepare(32, 32) == first), "the plan in use was dropped");
  }
  for (std::int64_t i = 0; i < 20; ++i) model.prepare(16 + 16 * i, 16);
  EXPECT(model.prepare(32, 32) != first);
}

LPN_TEST(engine_converts_bytes_as_floats) {
  const Shape shape{32, 24, 3};
  CompiledModel model(whole_network("gc"), 2, default_isa());
  const std::int64_t n = 3;
  std::vector<std::uint8_t> bytes(static_cast<std::size_t>(n * shape.size()));
  std::mt19937 random(3);
  for (std::uint8_t& value : bytes) value = static_cast<std::uint8_t>(random());
  Batch batch;
  batch.n = n;
  batch.bytes = bytes.data();
  batch.channel_map = {2, 1, 0};
  batch.table.resize(3);
  for (std::size_t c = 0; c < 3; ++c) {
    for (std::size_t value = 0; value < 256; ++value)
      batch.table[c][value] = 0.01f * static_cast<float>(value * (c + 1)) - 1.0f;
  }
  std::vector<float> images(bytes.size());
  for (std::size_t i = 0; i < images.size(); ++i)
    images[i] = batch.table[i % 3][bytes[i - i % 3 + 2 - i % 3]];
  const std::shared_ptr<PreparedPlan> prepared = model.prepare(shape.h, shape.w);
  std::vector<float> out(static_cast<std::size_t>(n * prepared->plan().output().size()));
  model.run(*prepared, batch, out.data());
  EXPECT(same_bits(out, run_model(model, images, n, shape)));
}

}  // namespace lpn
