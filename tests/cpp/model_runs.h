// Running compiled models on random images.
#pragma once

#include <cstdint>
#include <cstring>
#include <memory>
#include <random>
#include <vector>

#include "engine/run/compiled_model.h"

namespace lpn::test {

inline std::vector<float> random_images(std::int64_t n, const Shape& shape) {
  std::mt19937 random(5);
  std::normal_distribution<float> normal;
  std::vector<float> images(static_cast<std::size_t>(n * shape.size()));
  for (float& value : images) value = normal(random);
  return images;
}

// All outputs, one after the other.
inline std::vector<float> run_model(CompiledModel& model, const std::vector<float>& images,
                                    std::int64_t n, const Shape& shape) {
  const std::shared_ptr<PreparedPlan> prepared = model.prepare(shape.h, shape.w);
  std::int64_t size = 0;
  for (const Shape& output : prepared->plan().outputs()) size += n * output.size();
  std::vector<float> out(static_cast<std::size_t>(size));
  std::vector<void*> outputs;
  float* next = out.data();
  for (const Shape& output : prepared->plan().outputs()) {
    outputs.push_back(next);
    next += n * output.size();
  }
  Batch batch;
  batch.n = n;
  batch.pixels = images.data();
  model.run(*prepared, batch, outputs);
  return out;
}

inline bool same_bits(const std::vector<float>& a, const std::vector<float>& b) {
  return a.size() == b.size() &&
         (a.empty() || std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0);
}

}  // namespace lpn::test
