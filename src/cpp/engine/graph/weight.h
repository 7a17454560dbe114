// The weight arrays of a graph.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "engine/graph/dtype.h"

namespace lpn {

// Float32 numbers, or bfloat16 ones that are widened while they are read: a model then holds its
// weights packed, and in the half size of its file for the layouts that other input sizes may ask
// for.
class WeightValues {
 public:
  template <class T>
  WeightValues(std::shared_ptr<const T> values, std::size_t size)
      : type_(DTypeOf<T>::kValue), values_(std::move(values)), size_(size) {}

  std::size_t size() const { return size_; }

  // Float32 numbers are there for as long as this is; bfloat16 ones need a WideningScope, and are
  // there for as long as that.
  const float* data() const;

 private:
  friend class WideningScope;

  DType type_;
  std::shared_ptr<const void> values_;
  std::size_t size_;
};

// Owns the float32 copies of the bfloat16 weights that the calling thread reads during its life.
class WideningScope {
 public:
  WideningScope();
  ~WideningScope();
  WideningScope(const WideningScope&) = delete;
  WideningScope& operator=(const WideningScope&) = delete;

 private:
  friend class WeightValues;

  const float* widen(const WeightValues& values);

  WideningScope* const outer_;
  // Not Buffers: malloc cannot give the hole of an aligned array to the next one of its size.
  std::vector<std::pair<const WeightValues*, std::unique_ptr<float[]>>> copies_;
};

// A weight in PyTorch's layout; copies share the values.
struct Weight {
  std::vector<std::int64_t> shape;
  std::shared_ptr<const WeightValues> values;

  Weight() = default;
  Weight(std::vector<std::int64_t> axes, std::shared_ptr<const WeightValues> numbers)
      : shape(std::move(axes)), values(std::move(numbers)) {}
  Weight(std::vector<std::int64_t> axes, const std::shared_ptr<const Buffer<float>>& numbers)
      : Weight(std::move(axes),
               std::make_shared<const WeightValues>(
                   std::shared_ptr<const float>(numbers, numbers->data()), numbers->size())) {}

  const float* data() const { return values->data(); }
};

}  // namespace lpn
