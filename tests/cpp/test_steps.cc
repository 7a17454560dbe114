// How the chunks of a step are shared out.
#include <set>

#include "engine/plan/step.h"
#include "test.h"

namespace lpn {

LPN_TEST(chunks_in_order_are_a_permutation) {
  for (const std::int64_t rows : {1, 3, 4, 16}) {
    for (const std::int64_t groups : {1, 2, 5}) {
      Step::Info info;
      info.chunks = rows * groups;
      info.column_groups = groups;
      for (const int threads : {1, 2, 3, 4, 6, 64}) {
        std::set<std::int64_t> chunks;
        for (std::int64_t i = 0; i < info.chunks; ++i)
          chunks.insert(chunk_in_order(info, threads, i));
        EXPECT(static_cast<std::int64_t>(chunks.size()) == info.chunks && *chunks.begin() == 0 &&
                   *chunks.rbegin() == info.chunks - 1,
               rows, " rows x ", groups, " columns, ", threads, " threads");
      }
    }
  }
}

LPN_TEST(threads_take_rows_of_their_own) {
  Step::Info info;
  info.chunks = 24;
  info.column_groups = 6;
  for (const int threads : {2, 4}) {
    for (std::int64_t i = 0; i < info.chunks; ++i) {
      const std::int64_t thread = i * threads / info.chunks;
      const std::int64_t row = chunk_in_order(info, threads, i) % 4;
      EXPECT(row * threads / 4 == thread, threads, " threads: chunk ", i, " is of row ", row);
    }
  }
  // One thread takes the rows of one column after the other, which share its weights.
  for (std::int64_t i = 0; i < info.chunks; ++i) EXPECT(chunk_in_order(info, 1, i) == i);
}

}  // namespace lpn
