#include "engine/plan/weight_store.h"

#include <algorithm>
#include <mutex>

#include "base/check.h"
#include "base/float_environment.h"
#include "base/memory_limit.h"

namespace lpn {

WeightStore::Slab& WeightStore::slab_with(std::size_t room) {
  // Address space; memory comes with first use. LPN-50 fits into one.
  constexpr std::size_t kSlab = 8 * kHugePage;
  const auto slab = std::find_if(slabs_.begin(), slabs_.end(), [room](const Slab& candidate) {
    return room <= candidate.memory.size() - candidate.used;
  });
  if (slab != slabs_.end()) return *slab;
  slabs_.push_back({Buffer<std::byte>(std::max(room, kSlab)), 0});
  return slabs_.back();
}

void WeightStore::release_widening_memory() {
  const std::lock_guard<ForkSafeMutex> lock(mutex_);
  widening_memory_.release();
}

const void* WeightStore::get_bytes(const std::string& key, std::int64_t size,
                                   const std::function<void(void* packed)>& fill) {
  const std::lock_guard<ForkSafeMutex> lock(mutex_);
  const auto found = arrays_.find(key);
  if (found != arrays_.end()) return found->second;
  const auto bytes = static_cast<double>(size);
  LPN_CHECK(bytes_ + bytes <= static_cast<double>(memory_limit_), "the weights \"", key,
            "\", packed for this CPU, take ", format_bytes(bytes), ", with those before them ",
            format_bytes(bytes_ + bytes), "; the limit is ",
            format_bytes(static_cast<double>(memory_limit_)), kRaiseMemoryLimit);
  const std::size_t room =
      (static_cast<std::size_t>(size) + kAlignment - 1) / kAlignment * kAlignment;
  Slab& slab = slab_with(room);
  std::byte* const array = slab.memory.data() + slab.used;
  const WideningScope scope(widening_memory_);
  const DefaultFloatEnvironment environment;
  fill(array);  // which may throw: the room is taken afterwards
  slab.used += room;
  bytes_ += bytes;
  return arrays_.emplace(key, array).first->second;
}

}  // namespace lpn
