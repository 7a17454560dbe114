#include "engine/weight_store.h"

#include <mutex>

namespace lpn {

const float* WeightStore::get(const std::string& key, std::int64_t size,
                              const std::function<void(float* packed)>& fill) {
  const std::lock_guard<ForkSafeMutex> lock(mutex_);
  const auto found = arrays_.find(key);
  if (found != arrays_.end()) return found->second.data();
  Buffer<float> array(static_cast<std::size_t>(size));
  fill(array.data());
  return arrays_.emplace(key, std::move(array)).first->second.data();
}

}  // namespace lpn
