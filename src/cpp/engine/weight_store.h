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
  // The array stored under `key` (a node's name and a layout), made by `fill` on first use,
  // within a WideningScope and the default floating-point environment. Lives as long as the store.
  const float* get(const std::string& key, std::int64_t size,
                   const std::function<void(float* packed)>& fill);

 private:
  // The arrays lie one after the other, in huge pages.
  struct Slab {
    Buffer<float> memory;
    std::size_t used;  // floats
  };

  float* allocate(std::int64_t size);

  ForkSafeMutex mutex_;
  std::map<std::string, const float*> arrays_;
  std::vector<Slab> slabs_;
};

}  // namespace lpn
