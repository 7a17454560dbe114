#include "base/pages.h"

#include <cstdint>
#include <limits>
#include <new>

#if defined(__SANITIZE_ADDRESS__)
#define LPN_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define LPN_ADDRESS_SANITIZER 1
#endif
#endif

#if defined(__linux__) && !defined(LPN_ADDRESS_SANITIZER)
#define LPN_MAPS_PAGES 1
#include <sys/mman.h>
#endif

namespace lpn {

#if defined(LPN_MAPS_PAGES)

namespace {

// Whole huge pages of address space.
std::size_t mapped_size(std::size_t bytes) {
  if (bytes > std::numeric_limits<std::size_t>::max() - 2 * kHugePage) throw std::bad_alloc();
  return (bytes + kHugePage - 1) / kHugePage * kHugePage;
}

}  // namespace

bool maps_pages() { return true; }

void* map_pages(std::size_t bytes) {
  const std::size_t size = mapped_size(bytes);
  // One huge page more holds an aligned stretch; the rest of it goes back.
  void* const mapped =
      mmap(nullptr, size + kHugePage, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) throw std::bad_alloc();
  char* const first = static_cast<char*>(mapped);
  const std::size_t over = reinterpret_cast<std::uintptr_t>(first) % kHugePage;
  const std::size_t before = over == 0 ? 0 : kHugePage - over;
  if (before > 0) munmap(first, before);
  if (before < kHugePage) munmap(first + before + size, kHugePage - before);
  // A wish: where it is not granted, pages are small. The last part stays small in any case, for it
  // would take a whole huge page.
  const std::size_t whole = bytes / kHugePage * kHugePage;
  if (whole > 0) madvise(first + before, whole, MADV_HUGEPAGE);
  return first + before;
}

void unmap_pages(void* pages, std::size_t bytes) { munmap(pages, mapped_size(bytes)); }

#else

bool maps_pages() { return false; }

void* map_pages(std::size_t bytes) { return ::operator new(bytes, std::align_val_t{kHugePage}); }

void unmap_pages(void* pages, std::size_t) {
  ::operator delete(pages, std::align_val_t{kHugePage});
}

#endif

}  // namespace lpn
