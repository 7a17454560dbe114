// Graphs of maps of bytes: the same bits on every tier, for any thread count and place in a batch,
// and casts where bytes and floats meet. tests/test_int8.py compares networks with a reference.
#include <cmath>
#include <cstdint>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "engine/ops/cast.h"
#include "engine/ops/conv2d.h"
#include "engine/passes/passes.h"
#include "engine/run/compiled_model.h"
#include "engine_cases.h"
#include "graph_builder.h"
#include "model_runs.h"
#include "test.h"

namespace lpn {
namespace {

using test::ConvOptions;
using test::engine_cases;
using test::EngineCase;
using test::GraphBuilder;
using test::random_images;
using test::run_model;
using test::same_bits;

// Every map in steps of a fiftieth, with a zero that every other one shifts.
Graph quantized(Graph graph) {
  std::vector<std::string> names;
  for (const Node& node : graph.nodes()) names.push_back(node.name);
  std::int32_t zero_point = 0;
  for (const std::string& name : names) {
    graph.set_quantization(name, {0.02f, zero_point});
    zero_point = 100 - zero_point;
  }
  return graph;
}

std::size_t count_casts(const Graph& graph) {
  std::size_t casts = 0;
  for (const auto& operation : fuse(graph, Precision::kInt8).operations)
    casts += dynamic_cast<const Cast*>(operation.get()) != nullptr ? 1 : 0;
  return casts;
}

}  // namespace

LPN_TEST(int8_engine_gives_one_answer) {
  for (const EngineCase& test_case : engine_cases()) {
    const Graph graph = quantized(test_case.graph);
    const Shape input{48, 16, graph.input_channels()};
    const std::vector<float> images = random_images(3, input);
    std::vector<float> first;
    for (const Isa isa : supported_isas()) {
      CompiledModel model(graph, 1, isa, 0, Precision::kInt8);
      const std::vector<float> out = run_model(model, images, 3, input);
      CompiledModel threaded(graph, 2, isa, 0, Precision::kInt8);
      EXPECT(same_bits(out, run_model(threaded, images, 3, input)), test_case.name, ": ",
             isa_name(isa), " depends on threads");
      if (!contains(isa, Isa::kAvx2)) continue;
      if (first.empty()) first = out;
      EXPECT(same_bits(out, first), test_case.name, ": ", isa_name(isa), " and avx2 differ");
    }
  }
}

LPN_TEST(int8_engine_casts_where_bytes_and_floats_meet) {
  GraphBuilder builder(8);
  ConvOptions relu;
  relu.activation = "relu";
  const std::string first = builder.conv("image", 8, 16, relu);
  const std::string second = builder.conv(first, 16, 16, relu);
  const std::string third = builder.conv(second, 16, 16, relu);
  Graph graph = builder.finish(builder.conv(third, 16, 4, {}));
  EXPECT(count_casts(graph) == 0);
  for (const std::string& name : {first, second, third}) graph.set_quantization(name, {0.1f, 0});
  // The first reads floats, whose bytes the second one reads.
  EXPECT(count_casts(graph) == 1);
  graph.keep_float(third);
  // The second's bytes back to floats, and bytes of the third's.
  EXPECT(count_casts(graph) == 3);
  graph.keep_float(second);
  // Floats from one to the next, whose bytes nobody reads.
  EXPECT(count_casts(graph) == 1);
}

// What a fused operation does of another's is kept float with that one.
LPN_TEST(int8_engine_keeps_fused_nodes_float) {
  GraphBuilder builder(8);
  ConvOptions relu;
  relu.activation = "relu";
  const std::string first = builder.conv("image", 8, 8, relu);
  const std::string second = builder.conv(first, 8, 8, {});
  const std::string sum = builder.add(second, first, "relu");
  const std::string attended = builder.gc_block(sum, 8, 4);
  Graph graph = quantized(builder.finish(builder.conv(attended, 8, 4, {})));
  for (const bool kept : {false, true}) {
    if (kept) graph.keep_float(sum);
    const OperationGraph fused = fuse(graph, Precision::kInt8);
    for (const auto& operation : fused.operations) {
      const auto* conv = dynamic_cast<const Conv*>(operation.get());
      if (conv == nullptr || conv->node->name != second) continue;
      const bool floats = fused.tensors[static_cast<std::size_t>(conv->output)].type == DType::kF32;
      EXPECT(floats == kept);
    }
  }
}

// Pixels have no scale: attention on them, and their mean, is that of floats.
LPN_TEST(int8_engine_pools_pixels_as_floats) {
  for (const bool attention : {true, false}) {
    GraphBuilder builder(3);
    const std::string pooled =
        attention ? builder.gc_block("image", 3, 4) : builder.node("global_avg_pool", {"image"});
    Graph graph = builder.finish(pooled);
    graph.set_pixels({{2, 1, 0}, {0.02, 0.01, 0.03}, {-1.5, 0.0, 0.5}});
    const Shape input{12, 8, 3};
    // What bytes stand for, so that they come back from the floats.
    std::vector<float> images(static_cast<std::size_t>(input.size()));
    for (std::size_t i = 0; i < images.size(); ++i) {
      const std::size_t c = i % 3;
      images[i] = static_cast<float>(i * 7 % 256) * static_cast<float>(graph.pixels()->scale[c]) +
                  static_cast<float>(graph.pixels()->shift[c]);
    }
    CompiledModel floats(graph, 1, default_isa(), 0, Precision::kFp32);
    CompiledModel bytes(graph, 1, default_isa(), 0, Precision::kInt8);
    const std::vector<float> expected = run_model(floats, images, 1, input);
    const std::vector<float> out = run_model(bytes, images, 1, input);
    for (std::size_t i = 0; i < out.size(); ++i)
      EXPECT(std::abs(out[i] - expected[i]) < 1e-4F, attention, " ", i);
  }
}

// Its positions go to the kernel in one call, a chunk of them, as without a stride.
LPN_TEST(int8_engine_takes_strided_products_of_one_column) {
  GraphBuilder builder(24);
  ConvOptions strided;
  strided.stride = 2;
  strided.activation = "relu";
  const std::string first = builder.conv("image", 24, 24, {});
  const std::string second = builder.conv(first, 24, 24, strided);
  const Graph graph = quantized(builder.finish(builder.conv(second, 24, 5, {})));
  const Shape input{63, 1, 24};
  const std::vector<float> images = random_images(1, input);
  std::vector<float> first_out;
  for (const Isa isa : supported_isas()) {
    CompiledModel model(graph, 1, isa, 0, Precision::kInt8);
    const std::vector<float> out = run_model(model, images, 1, input);
    if (!contains(isa, Isa::kAvx2)) continue;
    if (first_out.empty()) first_out = out;
    EXPECT(same_bits(out, first_out), isa_name(isa), " and avx2 differ");
  }
}

}  // namespace lpn
