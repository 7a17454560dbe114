// Tensors that are alive at the same time never share memory.
#include <algorithm>
#include <random>

#include "engine/plan/arena.h"
#include "test.h"

namespace lpn {
namespace {

bool overlap(const ArenaItem& a, const ArenaItem& b) {
  return a.first <= b.last && b.first <= a.last;
}

void check_layout(const std::vector<ArenaItem>& items) {
  const ArenaLayout layout = lay_out(items);
  EXPECT(layout.offsets.size() == items.size());
  for (std::size_t i = 0; i < items.size(); ++i) {
    EXPECT(layout.offsets[i] >= 0 && layout.offsets[i] % 64 == 0, "offset ", layout.offsets[i]);
    EXPECT(layout.offsets[i] + items[i].bytes <= layout.bytes);
    for (std::size_t j = 0; j < i; ++j) {
      const bool apart = layout.offsets[i] + items[i].bytes <= layout.offsets[j] ||
                         layout.offsets[j] + items[j].bytes <= layout.offsets[i];
      EXPECT(apart || !overlap(items[i], items[j]), "items ", i, " and ", j);
    }
  }
}

}  // namespace

LPN_TEST(arena_keeps_live_tensors_apart) {
  std::mt19937 random(7);
  for (int round = 0; round < 200; ++round) {
    std::vector<ArenaItem> items(random() % 40);
    for (ArenaItem& item : items) {
      item.bytes = static_cast<std::int64_t>(1 + random() % 2000);
      item.first = static_cast<int>(random() % 30);
      item.last = item.first + static_cast<int>(random() % 10);
    }
    check_layout(items);
  }
}

LPN_TEST(arena_reuses_dead_tensors) {
  // A chain: each tensor is read by the next step only, so two places are enough.
  std::vector<ArenaItem> chain;
  for (int step = 0; step < 10; ++step) chain.push_back({640, step, step + 1});
  check_layout(chain);
  EXPECT(lay_out(chain).bytes == 1280, lay_out(chain).bytes);
}

LPN_TEST(arena_of_nothing_is_empty) { EXPECT(lay_out({}).bytes == 0); }

}  // namespace lpn
