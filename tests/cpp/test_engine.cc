// Graphs through plan and run on every tier, against the reference in double.
#include <cmath>
#include <cstring>
#include <limits>
#include <thread>

#include "base/cpu_features.h"
#include "engine/passes/passes.h"
#include "engine/run/compiled_model.h"
#include "engine_cases.h"
#include "graph_builder.h"
#include "model_runs.h"
#include "reference_graph.h"
#include "test.h"

namespace lpn {
namespace {

using test::bottlenecks;
using test::ConvOptions;
using test::engine_cases;
using test::EngineCase;
using test::GraphBuilder;
using test::random_images;
using test::ReferenceMap;
using test::run_model;
using test::same_bits;
using test::several_outputs;
using test::whole_network;

// Terms of all the sums on a path through the test graphs: 147 of the stem, and below 1500 of what
// follows. Rounding errors add up at most so often; activations keep their size (GraphBuilder), and
// the blocks' norms amplify by less than the rest.
constexpr double kTerms = 2048;

std::vector<double> run_reference_on(const Graph& graph, const std::vector<float>& images,
                                     const Shape& shape) {
  const auto size = static_cast<std::size_t>(shape.size());
  std::vector<std::vector<double>> by_output(graph.outputs().size());
  for (std::size_t begin = 0; begin < images.size(); begin += size) {
    ReferenceMap input(shape);
    for (std::size_t i = 0; i < size; ++i) input.values[i] = images[begin + i];
    const std::vector<ReferenceMap> outputs = run_reference(graph, input);
    for (std::size_t i = 0; i < outputs.size(); ++i)
      by_output[i].insert(by_output[i].end(), outputs[i].values.begin(), outputs[i].values.end());
  }
  std::vector<double> expected;
  for (const std::vector<double>& output : by_output)
    expected.insert(expected.end(), output.begin(), output.end());
  return expected;
}

void check_case(const EngineCase& test_case, const Shape& shape) {
  constexpr std::int64_t kImages = 3;
  const std::vector<float> images = random_images(kImages, shape);
  const std::vector<double> expected = run_reference_on(test_case.graph, images, shape);
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
  const std::vector<Place>& places = plan.places();
  for (std::size_t i = 0; i < places.size(); ++i) {
    const Place& a = places[i];
    if (a.kind != Place::Kind::kArena) continue;
    EXPECT(a.offset + a.bytes <= plan.arena_bytes());
    for (std::size_t j = 0; j < i; ++j) {
      const Place& b = places[j];
      if (b.kind != Place::Kind::kArena) continue;
      // Side by side, or one in the other: test_placement.cc.
      if (a.container == b.container) continue;
      const bool apart = a.offset + a.bytes <= b.offset || b.offset + b.bytes <= a.offset;
      // A result may take the very place of the residual that its step reads last.
      const bool in_place = a.offset == b.offset && (a.first == b.last || b.first == a.last);
      const bool alive_together = a.first <= b.last && b.first <= a.last;
      EXPECT(apart || in_place || !alive_together, "tensors ", i, " and ", j);
    }
  }
}

}  // namespace

LPN_TEST(engine_matches_reference) {
  for (const EngineCase& test_case : engine_cases()) {
    const std::int64_t c = test_case.graph.input_channels();
    for (const Shape& shape : {Shape{32, 24, c}, Shape{48, 16, c}, Shape{16, 48, c}})
      check_case(test_case, shape);
  }
}

// No activation, pooling or sum may turn a NaN into a number: the output has it where PyTorch's
// has.
LPN_TEST(engine_keeps_nan) {
  for (const EngineCase& test_case : engine_cases()) {
    const Shape shape{32, 24, test_case.graph.input_channels()};
    std::vector<float> images = random_images(1, shape);
    for (const std::int64_t position : {std::int64_t{0}, 17 * shape.w + 11})
      images[static_cast<std::size_t>(position * shape.c)] =
          std::numeric_limits<float>::quiet_NaN();
    const std::vector<double> expected = run_reference_on(test_case.graph, images, shape);
    for (const Isa isa : supported_isas()) {
      CompiledModel model(test_case.graph, 2, isa);
      const std::vector<float> out = run_model(model, images, 1, shape);
      std::size_t nans = 0;
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < out.size(); ++i) {
        nans += std::isnan(expected[i]) ? 1 : 0;
        wrong += std::isnan(out[i]) != std::isnan(expected[i]) ? 1 : 0;
      }
      EXPECT(nans > 0 && wrong == 0, test_case.name, " ", isa_name(isa), ": ", wrong, " of ",
             out.size(), " values, of which ", nans, " should be NaN");
    }
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
  for (const EngineCase& test_case : engine_cases()) {
    CompiledModel model(test_case.graph, 1, Isa::kScalar);
    check_places(model.prepare(32, 24)->plan());
  }
}

LPN_TEST(engine_works_in_place_and_reuses_memory) {
  CompiledModel model(whole_network("gc"), 1, Isa::kScalar);
  const Plan& plan = model.prepare(64, 48)->plan();
  std::int64_t total = 0;
  for (const Place& place : plan.places()) total += place.bytes;
  EXPECT(plan.arena_bytes() < total / 2, plan.arena_bytes(), " of ", total);
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

// Fewer images than threads run side by side, as do those left over of more; without the memory for
// it fewer of them, in the end one after the other.
LPN_TEST(engine_gives_images_side_by_side_their_bits) {
  const Shape shape{32, 24, 3};
  const Graph graph = whole_network("gc");
  CompiledModel single(graph, 1, default_isa());
  CompiledModel model(graph, 5, default_isa());
  const std::vector<float> images = random_images(8, shape);
  const std::vector<float> expected = run_model(single, images, 8, shape);
  const std::shared_ptr<PreparedPlan> prepared = model.prepare(shape.h, shape.w);
  const Plan& plan = prepared->plan();
  const auto room_for_two =
      static_cast<std::int64_t>(plan.workspace_bytes(5) + plan.workspace_bytes(0));
  for (const std::int64_t limit : {std::int64_t{1}, room_for_two, std::int64_t{1} << 30}) {
    const std::int64_t expected_together = limit == 1 ? 1 : limit == room_for_two ? 2 : 4;
    EXPECT(images_side_by_side(plan, 5, limit) == expected_together, "limit ", limit);
    for (const std::int64_t n : {1, 2, 3, 4, 8}) {
      Batch batch;
      batch.n = n;
      batch.pixels = images.data();
      std::vector<float> out(static_cast<std::size_t>(n * plan.outputs().front().size()));
      EXPECT(run(*prepared, model.pool(), batch, {out.data()}, limit));
      EXPECT(std::memcmp(out.data(), expected.data(), out.size() * sizeof(float)) == 0, n,
             " images, limit ", limit);
    }
  }
}

// Or a run of several images would take more memory than its limit from the second time on.
LPN_TEST(engine_lends_scratch_to_one_workspace_of_a_run) {
  const Shape shape{32, 24, 3};
  CompiledModel model(whole_network("gc"), 3, default_isa());
  const Plan& plan = model.prepare(shape.h, shape.w)->plan();
  const std::vector<float> image = random_images(1, shape);
  std::vector<float> out(static_cast<std::size_t>(plan.outputs().front().size()));
  Workspace workspace(plan);
  EXPECT(plan.scratch_bytes() > 0);
  EXPECT(workspace.bind(plan, image.data(), {out.data()}, 3).scratch != nullptr);
  EXPECT(workspace.bind(plan, image.data(), {out.data()}, 0).scratch == nullptr);
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

// Reading and fusing take time in proportion to the nodes; with a search per node this would not
// end.
LPN_TEST(engine_reads_long_graphs) {
  constexpr int kNodes = 200000;
  Graph graph;
  graph.add_input("0", 1);
  const auto one = std::make_shared<const Buffer<float>>(1);
  const Weight weight({1, 1}, one);
  for (int i = 1; i <= kNodes; ++i) {
    graph.add_node("se_block", std::to_string(i), {std::to_string(i - 1)}, {},
                   {{"w1", weight}, {"w2", weight}});
  }
  graph.add_output(std::to_string(kNodes));
  EXPECT(graph.infer_shapes(2, 2).size() == kNodes + 1);
  EXPECT(fuse(graph, Precision::kFp32).operations.size() == std::size_t{3} * kNodes);
}

LPN_TEST(engine_nests_concats_deeply) {
  constexpr int kNodes = 50000;
  Graph graph;
  graph.add_input("0", 1);
  for (int i = 1; i <= kNodes; ++i) {
    const std::string sum = "sum" + std::to_string(i);
    graph.add_node("add", sum, {"0", "0"}, {{"activation", std::string("none")}}, {});
    const std::string before = i == 1 ? "0" : std::to_string(i - 1);
    graph.add_node("concat", std::to_string(i), {before, sum}, {}, {});
  }
  graph.add_output(std::to_string(kNodes));
  const OperationGraph fused = fuse(graph, Precision::kFp32);
  EXPECT(fused.operations.size() == kNodes + 1, fused.operations.size());  // and the input's copy
  const Placement placement = place_tensors(fused, graph.infer_shapes(1, 1));
  EXPECT(placement.arena_bytes == 0);
  EXPECT(placement.places[1].offset == sizeof(float), placement.places[1].offset);
}

// Whoever wants the second output alone gets its bits; the first one is computed all the same.
LPN_TEST(engine_gives_the_outputs_that_are_wanted) {
  const Shape shape{16, 12, 8};
  const Graph graph = several_outputs();
  for (const int threads : {1, 3}) {
    CompiledModel model(graph, threads, default_isa());
    const std::int64_t n = 4;
    const std::vector<float> images = random_images(n, shape);
    const std::vector<float> all = run_model(model, images, n, shape);
    const std::shared_ptr<PreparedPlan> prepared = model.prepare(shape.h, shape.w);
    const std::vector<Shape>& shapes = prepared->plan().outputs();
    EXPECT(shapes.size() == 3 && shapes[1] == (Shape{8, 6, 12}), shapes.size());
    Batch batch;
    batch.n = n;
    batch.pixels = images.data();
    const auto first = static_cast<std::size_t>(n * shapes[0].size());
    std::vector<float> second(static_cast<std::size_t>(n * shapes[1].size()));
    model.run(*prepared, batch, {nullptr, second.data(), nullptr});
    EXPECT(
        std::equal(second.begin(), second.end(), all.begin() + static_cast<std::ptrdiff_t>(first)));
    std::vector<float> front(first);
    model.run(*prepared, batch, front.data());
    EXPECT(std::equal(front.begin(), front.end(), all.begin()));
  }
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
  std::vector<float> out(static_cast<std::size_t>(n * prepared->plan().outputs().front().size()));
  model.run(*prepared, batch, out.data());
  EXPECT(same_bits(out, run_model(model, images, n, shape)));
}

}  // namespace lpn
