// Memory straight from the operating system, for arrays of many pages.
#pragma once

#include <cstddef>

namespace lpn {

// What x86-64 and most of arm64 map with one entry of the page table. The kernel hands out memory
// of this size in one go, which takes an eighth of the time of 512 small pages.
constexpr std::size_t kHugePage = std::size_t{1} << 21;

// Whether map_pages maps here. Not under AddressSanitizer, which guards the ends of what the heap
// hands out; nor where there are no huge pages to ask for.
bool maps_pages();

// At least `bytes` > 0, uninitialised, at a multiple of kHugePage, in huge pages where the kernel
// grants them. The wish ends with the mapping: no later user of the memory has to live with it.
// Throws std::bad_alloc.
void* map_pages(std::size_t bytes);

// Gives back what map_pages returned for as many bytes.
void unmap_pages(void* pages, std::size_t bytes);

}  // namespace lpn
