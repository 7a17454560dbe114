// Owning, 64-byte aligned storage for weights, arenas and scratch.
#pragma once

#include <cstddef>
#include <memory>
#include <new>

#include "base/pages.h"

namespace lpn {

// One cache line, and the widest vector this library loads.
constexpr std::size_t kAlignment = 64;

// An uninitialised array of trivially copyable T; movable, not copyable.
template <class T>
class Buffer {
 public:
  Buffer() = default;
  explicit Buffer(std::size_t size) : data_(allocate(size)), size_(size) {}

  T* data() { return data_.get(); }
  const T* data() const { return data_.get(); }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) { return data_[i]; }
  const T& operator[](std::size_t i) const { return data_[i]; }

 private:
  struct Free {
    std::size_t mapped = 0;  // bytes; 0 where the heap has the array

    void operator()(T* data) const {
      if (mapped > 0) {
        unmap_pages(data, mapped);
      } else {
        ::operator delete[](data, std::align_val_t{kAlignment});
      }
    }
  };
  using Pointer = std::unique_ptr<T[], Free>;

  static Pointer allocate(std::size_t size) {
    if (size == 0) return Pointer();
    if (size > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_alloc();
    const std::size_t bytes = size * sizeof(T);
    if (bytes >= kHugePage) return Pointer(static_cast<T*>(map_pages(bytes)), Free{bytes});
    return Pointer(static_cast<T*>(::operator new[](bytes, std::align_val_t{kAlignment})), Free{});
  }

  Pointer data_;
  std::size_t size_ = 0;
};

}  // namespace lpn
