#include "engine/weight_store.h"

#include <algorithm>
#include <mutex>

#include "base/float_environment.h"
#include "engine/weight.h"

namespace lpn {

float* WeightStore::allocate(std::int64_t size) {
  constexpr std::size_t kLine = kAlignment / sizeof(float);
  // Address space; memory comes with first use. LPN-50 fits into one.
  constexpr std::size_t kSlab = 8 * kHugePage / sizeof(float);
  const std::size_t rounded = (static_cast<std::size_t>(size) + kLine - 1) / kLine * kLine;
  auto slab = std::find_if(slabs_.begin(), slabs_.end(), [rounded](const Slab& candidate) {
    return rounded <= candidate.memory.size() - candidate.used;
  });
  if (slab == slabs_.end()) {
    slabs_.push_back({Buffer<float>(std::max(rounded, kSlab)), 0});
    slab = slabs_.end() - 1;
  }
  slab->used += rounded;
  return slab->memory.data() + slab->used - rounded;
}

const float* WeightStore::get(const std::string& key, std::int64_t size,
                              const std::function<void(float* packed)>& fill) {
  const std::lock_guard<ForkSafeMutex> lock(mutex_);
  const auto found = arrays_.find(key);
  if (found != arrays_.end()) return found->second;
  float* array = allocate(size);
  const WideningScope scope;
  const DefaultFloatEnvironment environment;
  fill(array);
  return arrays_.emplace(key, array).first->second;
}

}  // namespace lpn
