// Weights in the layout of the kernels of one tier, shared by the plans of all input sizes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/fork.h"

namespace lpn {

class WeightStore {
 public:
  // `memory_limit` in bytes, of everything that is stored.
  explicit WeightStore(std::int64_t memory_limit) : memory_limit_(memory_limit) {}

  // The array stored under `key` (a node's name and a layout), made by `fill` on first use,
  // within a WideningScope and the default floating-point environment. Lives as long as the store.
  // Throws std::invalid_argument, before it takes any memory, when the limit would be exceeded.
  const float* get(const std::string& key, std::int64_t size,
                   const std::function<void(float* packed)>& fill);

 private:
  // The arrays lie one after the other, in huge pages.
  struct Slab {
    Buffer<float> memory;
    std::size_t used;  // floats
  };

  float* allocate(std::int64_t size);

  const std::int64_t memory_limit_;
  ForkSafeMutex mutex_;
  double bytes_ = 0;  // stored
  std::map<std::string, const float*> arrays_;
  std::vector<Slab> slabs_;
};

}  // namespace lpn
