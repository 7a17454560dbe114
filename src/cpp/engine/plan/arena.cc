#include "engine/plan/arena.h"

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/buffer.h"

namespace lpn {

ArenaLayout lay_out(const std::vector<ArenaItem>& items) {
  constexpr auto kUnit = static_cast<std::int64_t>(kAlignment);
  const auto rounded = [](std::int64_t bytes) { return (bytes + kUnit - 1) / kUnit * kUnit; };
  std::vector<std::size_t> order(items.size());
  std::iota(order.begin(), order.end(), std::size_t{0});
  std::stable_sort(order.begin(), order.end(),
                   [&](std::size_t a, std::size_t b) { return items[a].bytes > items[b].bytes; });

  ArenaLayout layout;
  layout.offsets.assign(items.size(), 0);
  std::vector<std::size_t> placed;  // by ascending offset
  for (const std::size_t item : order) {
    const std::int64_t size = rounded(items[item].bytes);
    std::int64_t best_offset = -1;
    std::int64_t best_gap = std::numeric_limits<std::int64_t>::max();
    std::int64_t end = 0;  // of the live tensors so far
    for (const std::size_t other : placed) {
      if (items[other].last < items[item].first || items[item].last < items[other].first) continue;
      const std::int64_t gap = layout.offsets[other] - end;
      if (gap >= size && gap < best_gap) {
        best_gap = gap;
        best_offset = end;
      }
      end = std::max(end, layout.offsets[other] + rounded(items[other].bytes));
    }
    layout.offsets[item] = best_offset >= 0 ? best_offset : end;
    layout.bytes = std::max(layout.bytes, layout.offsets[item] + size);
    const auto position = std::upper_bound(
        placed.begin(), placed.end(), item,
        [&](std::size_t a, std::size_t b) { return layout.offsets[a] < layout.offsets[b]; });
    placed.insert(position, item);
  }
  return layout;
}

}  // namespace lpn
