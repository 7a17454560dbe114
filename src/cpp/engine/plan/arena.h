// Lays tensors out in one block of memory so that those alive at the same time do not overlap.
#pragma once

#include <cstdint>
#include <vector>

namespace lpn {

struct ArenaItem {
  std::int64_t bytes = 0;
  int first = 0, last = 0;  // steps: written first, read last
};

struct ArenaLayout {
  std::vector<std::int64_t> offsets;  // bytes; multiples of a cache line
  std::int64_t bytes = 0;
};

// Greedy by size, largest first, each into the smallest gap it fits in.
ArenaLayout lay_out(const std::vector<ArenaItem>& items);

}  // namespace lpn
