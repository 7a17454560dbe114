// max_pool of bytes on every supported tier.
#include <algorithm>
#include <cstdint>

#include "byte_problem.h"
#include "kernels/max_pool/max_pool.h"
#include "test.h"

namespace lpn {
namespace {

using namespace test;

void check_max_pool(const Map& in, const Kernel& kernel) {
  ByteProblem problem;
  problem.name = describe("max_pool of bytes", in, kernel, in.c);
  problem.in = in;
  const Map out = {window_count(in.h, kernel.h, kernel.stride, kernel.padding),
                   window_count(in.w, kernel.w, kernel.stride, kernel.padding), in.c};
  problem.out = out;
  problem.x = random_bytes(in.size(), 1);
  problem.input_rows = window_rows(in.h, kernel.h, kernel.stride, kernel.padding);
  problem.expected.resize(at(out.size()));
  for_each_tap(in, out, kernel, [&](int64_t to, int64_t from, int64_t) {
    for (int64_t c = 0; c < in.c; ++c) {
      std::uint8_t& best = problem.expected[at(to * in.c + c)];
      best = std::max(best, problem.x[at(from * in.c + c)]);
    }
  });
  problem.make = [&](Isa isa) -> ByteRows {
    return [&, isa](const std::uint8_t* x, int64_t in_row_begin, std::uint8_t* y, int64_t begin,
                    int64_t end) {
      select_max_pool<std::uint8_t>(isa).run({x, in_row_begin, in.h, in.w, in.c, y, out.w, begin,
                                              end, kernel.h, kernel.stride, kernel.padding});
    };
  };
  check(problem);
}

}  // namespace

LPN_TEST(max_pool_of_bytes) {
  check_max_pool({32, 24, 64}, {3, 3, 2, 1});
  for (const int64_t c : {1, 3, 17, 33, 63, 65, 130}) {
    check_max_pool({7, 9, c}, {3, 3, 2, 1});
    check_max_pool({8, 6, c}, {2, 2, 2, 0});
    check_max_pool({5, 6, c}, {5, 5, 1, 2});
    check_max_pool({1, 1, c}, {3, 3, 2, 1});
  }
}

}  // namespace lpn
