// Weights in the layout of the kernels of one tier, shared by the plans of all input sizes.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <string>

#include "base/buffer.h"
#include "base/fork.h"

namespace lpn {

class WeightStore {
 public:
  // The array stored under `key` (a node's name and a layout), made by `fill` on first use. Lives
  // as long as the store.
  const float* get(const std::string& key, std::int64_t size,
                   const std::function<void(float* packed)>& fill);

 private:
  ForkSafeMutex mutex_;
  std::map<std::string, Buffer<float>> arrays_;
};

}  // namespace lpn
