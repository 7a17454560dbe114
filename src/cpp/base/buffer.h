// Owning, 64-byte aligned storage for weights, arenas and scratch.
#pragma once

#if defined(__linux__)
#include <sys/mman.h>
#endif

#include <cstddef>
#include <memory>
#include <new>

namespace lpn {

// One cache line, and the widest vector this library loads.
constexpr std::size_t kAlignment = 64;

// What x86-64 and most of arm64 map with one entry of the page table. The kernel hands out memory
// of this size in one go, which takes an eighth of the time of 512 small pages.
constexpr std::size_t kHugePage = std::size_t{1} << 21;

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
    std::align_val_t alignment;
    void operator()(T* data) const { ::operator delete[](data, alignment); }
  };
  using Pointer = std::unique_ptr<T[], Free>;

  static Pointer allocate(std::size_t size) {
    if (size == 0) return Pointer(nullptr, Free{std::align_val_t{kAlignment}});
    if (size > static_cast<std::size_t>(-1) / sizeof(T)) throw std::bad_alloc();
    const std::size_t bytes = size * sizeof(T);
    const std::align_val_t alignment{bytes < kHugePage ? kAlignment : kHugePage};
    Pointer data(static_cast<T*>(::operator new[](bytes, alignment)), Free{alignment});
#if defined(__linux__)
    // A wish: where it is not granted, pages are small. The last part stays small in any case.
    if (bytes >= kHugePage) madvise(data.get(), bytes / kHugePage * kHugePage, MADV_HUGEPAGE);
#endif
    return data;
  }

  Pointer data_{nullptr, Free{std::align_val_t{kAlignment}}};
  std::size_t size_ = 0;
};

}  // namespace lpn
