// The weight arrays of a graph.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "engine/graph/dtype.h"
#include "engine/graph/stored_part.h"

namespace lpn {

// Float32 numbers in memory; or bfloat16 ones, or either in a file, which are read and widened
// while they are packed: a model then holds its weights packed and no more, and yet has them for
// the layouts that other input sizes may ask for.
class WeightValues {
 public:
  template <class T>
  WeightValues(std::shared_ptr<const T> values, std::size_t size)
      : type_(DTypeOf<T>::kValue), values_(std::move(values)), size_(size) {}
  // The numbers of `part`, as many as it holds.
  WeightValues(DType type, std::shared_ptr<const StoredPart> part)
      : type_(type),
        part_(std::move(part)),
        size_(static_cast<std::size_t>(part_->bytes() / size_of(type))) {}

  std::size_t size() const { return size_; }

  // Float32 numbers in memory are there for as long as this is; all others need a WideningScope,
  // and are there for as long as that. Throws std::system_error when the file cannot be read or was
  // written to.
  const float* data() const;

 private:
  friend class WideningScope;

  DType type_;
  std::shared_ptr<const void> values_;
  std::shared_ptr<const StoredPart> part_;  // instead of values_
  std::size_t size_;
};

// What WideningScopes one after the other copy into. The heap would keep that much for good, so
// that a first run would need it beside its own memory.
class WideningMemory {
 public:
  // While there is no scope.
  void release() { blocks_.clear(); }

 private:
  friend class WideningScope;

  struct Place {
    std::size_t block = 0, used = 0;
  };

  void* take(std::size_t bytes);

  std::vector<Buffer<std::byte>> blocks_;
  Place next_;
};

// Owns the float32 copies of the bfloat16 and stored weights that the calling thread reads during
// its life. Of the scopes of one memory, the last one made ends first.
class WideningScope {
 public:
  explicit WideningScope(WideningMemory& memory);
  ~WideningScope();
  WideningScope(const WideningScope&) = delete;
  WideningScope& operator=(const WideningScope&) = delete;

 private:
  friend class WeightValues;

  const float* copy(const WeightValues& values);

  WideningScope* const outer_;
  WideningMemory& memory_;
  const WideningMemory::Place begin_;
  std::vector<std::pair<const WeightValues*, const float*>> copies_;
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
