// Weights in the layout of the kernels of one tier, shared by the plans of all input sizes.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/fork.h"
#include "engine/graph/dtype.h"
#include "engine/graph/weight.h"

namespace lpn {

class WeightStore {
 public:
  // `memory_limit` in bytes, of everything that is stored.
  explicit WeightStore(std::int64_t memory_limit) : memory_limit_(memory_limit) {}

  // The array of `count` T stored under `key` (a node's name and a layout), made by `fill` on first
  // use, within a WideningScope and the default floating-point environment. Lives as long as the
  // store. Throws std::invalid_argument, before it takes any memory, when the limit would be
  // exceeded.
  template <class T, class Fill>
  const T* get(const std::string& key, std::int64_t count, const Fill& fill) {
    return static_cast<const T*>(get_bytes(
        key, bytes_of<T>(count), [&fill](void* packed) { fill(static_cast<T*>(packed)); }));
  }

  // What `fill` widened weights into is kept for the next one: to be called after the last.
  void release_widening_memory();

 private:
  // The arrays lie one after the other, in huge pages.
  struct Slab {
    Buffer<std::byte> memory;
    std::size_t used;  // bytes
  };

  const void* get_bytes(const std::string& key, std::int64_t bytes,
                        const std::function<void(void* packed)>& fill);
  Slab& slab_with(std::size_t room);  // bytes

  const std::int64_t memory_limit_;
  ForkSafeMutex mutex_;
  WideningMemory widening_memory_;
  double bytes_ = 0;  // stored
  std::map<std::string, const void*> arrays_;
  std::vector<Slab> slabs_;
};

}  // namespace lpn
