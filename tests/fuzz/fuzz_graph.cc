// libFuzzer target: bytes become a graph, which is compiled and run. Only std::invalid_argument may
// come out; sanitizers and libFuzzer's limits see the rest.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "engine/run/compiled_model.h"
#include "graph_from_bytes.h"

namespace lpn::fuzz {
namespace {

// Of one run; more would make fuzzing slow and finds nothing new.
constexpr double kMaxFlops = 2e6;
constexpr double kMaxBytes = 1 << 24;
constexpr std::int64_t kMemoryLimit = std::int64_t{1} << 26;

// Of every image and then the next, all outputs.
std::vector<float> run_model(CompiledModel& model, PreparedPlan& prepared,
                             const std::vector<float>& images, std::int64_t n) {
  const std::vector<Shape>& shapes = prepared.plan().outputs();
  std::vector<std::vector<float>> outputs;
  std::vector<void*> places;
  for (const Shape& shape : shapes) {
    outputs.emplace_back(static_cast<std::size_t>(n * shape.size()));
    places.push_back(outputs.back().data());
  }
  Batch batch;
  batch.n = n;
  batch.pixels = images.data();
  model.run(prepared, batch, places);
  std::vector<float> all;
  for (std::int64_t image = 0; image < n; ++image) {
    for (std::size_t i = 0; i < shapes.size(); ++i) {
      const auto begin = outputs[i].begin() + image * shapes[i].size();
      all.insert(all.end(), begin, begin + shapes[i].size());
    }
  }
  return all;
}

void expect_same_bits(const float* a, const float* b, std::size_t size, const char* what) {
  if (size == 0 || std::memcmp(a, b, size * sizeof(float)) == 0) return;
  std::fprintf(stderr, "the bits of a result depend on %s\n", what);
  std::abort();
}

// Instruction sets give a NaN another sign.
std::vector<float> without_nans(std::vector<float> values) {
  for (float& value : values) value = std::isnan(value) ? 0.0f : value;
  return values;
}

// The same image twice, by one thread; in int8 on another instruction set; and where the bytes say
// so, three times by two.
void compile_and_run(ByteSource& source) {
  const std::vector<Isa> isas = supported_isas();
  const Isa isa = isas[source.byte() % isas.size()];
  const std::int64_t h = source.side();
  const std::int64_t w = source.side();
  const bool two_threads = source.one_in(16);
  constexpr Precision kPrecisions[] = {Precision::kFp32, Precision::kBf16, Precision::kInt8};
  const Precision precision = kPrecisions[source.byte() % 3];
  Graph graph = make_graph(source);
  if (precision == Precision::kInt8) quantize(graph, source);
  CompiledModel model(graph, 1, isa, kMemoryLimit, precision);
  const std::shared_ptr<PreparedPlan> prepared = model.prepare(h, w);
  double flops = 0;
  double bytes = 0;
  for (const auto& step : prepared->plan().steps()) {
    flops += step->info().flops;
    bytes += step->info().bytes;
  }
  if (flops > kMaxFlops || bytes > kMaxBytes) return;

  const auto pixels = static_cast<std::size_t>(prepared->plan().input().size());
  std::vector<float> images = source.values(pixels);
  const std::vector<float> image = images;
  images.insert(images.end(), image.begin(), image.end());
  const std::vector<float> twice = run_model(model, *prepared, images, 2);
  const std::size_t size = twice.size() / 2;
  expect_same_bits(twice.data(), twice.data() + size, size, "the place in a batch");
  if (precision == Precision::kInt8 && isa != Isa::kScalar) {
    const Isa other = isas[1 + source.byte() % (isas.size() - 1)];
    CompiledModel elsewhere(graph, 1, other, kMemoryLimit, precision);
    const std::vector<float> once = run_model(elsewhere, *elsewhere.prepare(h, w), images, 1);
    expect_same_bits(without_nans(twice).data(), without_nans(once).data(), size,
                     "the instruction set");
  }
  if (!two_threads) return;
  images.insert(images.end(), image.begin(), image.end());
  CompiledModel threaded(graph, 2, isa, kMemoryLimit, precision);
  const std::vector<float> thrice = run_model(threaded, *threaded.prepare(h, w), images, 3);
  expect_same_bits(twice.data(), thrice.data(), size, "the threads");
  expect_same_bits(twice.data(), thrice.data() + 2 * size, size, "the threads");
}

}  // namespace
}  // namespace lpn::fuzz

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  lpn::fuzz::ByteSource source(data, size);
  try {
    lpn::fuzz::compile_and_run(source);
  } catch (const std::invalid_argument&) {
  }
  return 0;
}
