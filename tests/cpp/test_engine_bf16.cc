// Graphs of bfloat16 maps: against the reference in double, and the same bits on every tier whose
// fma rounds once, for any thread count and place in a batch.
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/cpu_features.h"
#include "engine/passes/passes.h"
#include "engine/run/compiled_model.h"
#include "engine_cases.h"
#include "model_runs.h"
#include "reference_graph.h"
#include "test.h"

namespace lpn {
namespace {

using test::engine_cases;
using test::EngineCase;
using test::random_images;
using test::ReferenceMap;
using test::run_model;
using test::same_bits;

std::vector<double> reference_of(const Graph& graph, const std::vector<float>& image,
                                 const Shape& shape) {
  ReferenceMap input(shape);
  for (std::size_t i = 0; i < image.size(); ++i) input.values[i] = image[i];
  std::vector<double> values;
  for (const ReferenceMap& output : run_reference(graph, input))
    values.insert(values.end(), output.values.begin(), output.values.end());
  return values;
}

double norm(const std::vector<double>& values) {
  double sum = 0;
  for (const double value : values) sum += value * value;
  return std::sqrt(sum);
}

CompiledModel compile(const EngineCase& test_case, int threads, Isa isa) {
  return CompiledModel(test_case.graph, threads, isa, 0, Precision::kBf16);
}

}  // namespace

// Every node rounds its input, its weights and its result by 2^-8 of each number at most;
// activations keep their size (GraphBuilder), so that errors add up to no more than their number.
LPN_TEST(bf16_engine_is_near_the_reference) {
  for (const EngineCase& test_case : engine_cases()) {
    const Shape shape{32, 24, test_case.graph.input_channels()};
    const std::vector<float> image = random_images(1, shape);
    const std::vector<double> expected = reference_of(test_case.graph, image, shape);
    const auto nodes = static_cast<double>(test_case.graph.nodes().size());
    for (const Isa isa : supported_isas()) {
      CompiledModel model = compile(test_case, 1, isa);
      const std::vector<float> out = run_model(model, image, 1, shape);
      std::vector<double> error;
      for (std::size_t i = 0; i < out.size(); ++i) error.push_back(out[i] - expected[i]);
      EXPECT(out.size() == expected.size() &&
                 norm(error) <= 3 * nodes * std::ldexp(norm(expected), -8),
             test_case.name, " ", isa_name(isa), ": error ", norm(error) / norm(expected), " of ",
             nodes, " nodes");
    }
  }
}

LPN_TEST(bf16_engine_gives_one_answer) {
  constexpr std::int64_t kImages = 3;
  for (const EngineCase& test_case : engine_cases()) {
    const Shape shape{48, 16, test_case.graph.input_channels()};
    const std::vector<float> images = random_images(kImages, shape);
    std::vector<float> first;
    for (const Isa isa : supported_isas()) {
      CompiledModel model = compile(test_case, 1, isa);
      const std::vector<float> out = run_model(model, images, kImages, shape);
      CompiledModel threaded = compile(test_case, 3, isa);
      EXPECT(same_bits(run_model(threaded, images, kImages, shape), out), test_case.name, " ",
             isa_name(isa), " with three threads");
      if (!contains(isa, Isa::kAvx2)) continue;
      if (first.empty()) first = out;
      EXPECT(same_bits(out, first), test_case.name, ": ", isa_name(isa), " and avx2 differ");
    }
  }
}

// Maps between convolutions are bfloat16 through every other kind of node.
LPN_TEST(bf16_engine_narrows_maps) {
  std::size_t narrow = 0;
  for (const EngineCase& test_case : engine_cases()) {
    const OperationGraph graph = fuse(test_case.graph, Precision::kBf16);
    for (const Tensor& tensor : graph.tensors) narrow += tensor.type == DType::kBf16 ? 1 : 0;
    EXPECT(graph.tensors.front().type == DType::kF32, test_case.name);
    for (const int output : graph.outputs) {
      EXPECT(graph.tensors[static_cast<std::size_t>(output)].type == DType::kF32, test_case.name);
    }
  }
  EXPECT(narrow > 0);
}

}  // namespace lpn
