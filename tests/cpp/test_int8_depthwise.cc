// depthwise of bytes on every supported tier.
#include <algorithm>
#include <cstdint>

#include "byte_problem.h"
#include "kernels/depthwise/depthwise.h"
#include "test.h"

namespace lpn {
namespace {

using namespace test;

void check_depthwise(const Map& in, const Kernel& kernel, std::uint8_t padding_value = 7) {
  ByteProblem problem;
  problem.name = describe("depthwise of bytes", in, kernel, in.c);
  problem.in = in;
  const Map out = {window_count(in.h, kernel.h, kernel.stride, kernel.padding),
                   window_count(in.w, kernel.w, kernel.stride, kernel.padding), in.c};
  problem.out = out;
  problem.x = random_bytes(in.size(), 1);
  problem.input_rows = window_rows(in.h, kernel.h, kernel.stride, kernel.padding);
  const int64_t taps = kernel.h * kernel.w;
  const Factors w = random_factors(in.c * taps, 2);
  const Scales scales = random_scales(in.c, taps, 3);
  for (int64_t y = 0; y < out.h; ++y) {
    for (int64_t x = 0; x < out.w; ++x) {
      for (int64_t c = 0; c < in.c; ++c) {
        int64_t sum = 0;
        for (int64_t tap = 0; tap < taps; ++tap) {
          const int64_t v = y * kernel.stride + tap / kernel.w - kernel.padding;
          const int64_t u = x * kernel.stride + tap % kernel.w - kernel.padding;
          const bool inside = v >= 0 && v < in.h && u >= 0 && u < in.w;
          const int64_t q = inside ? problem.x[at((v * in.w + u) * in.c + c)] : padding_value;
          sum += q * w[at(c * taps + tap)];
        }
        problem.expected.push_back(byte_of(sum, scales, c));
      }
    }
  }

  problem.make = [&](Isa isa) -> ByteRows {
    Factors packed(at(depthwise_packed_size_s8(isa, kernel.h, kernel.w, kernel.stride, in.c)));
    pack_depthwise_s8(isa, w.data(), kernel.h, kernel.w, kernel.stride, in.c, packed.data());
    return [&, isa, packed](const std::uint8_t* x, int64_t in_row_begin, std::uint8_t* y,
                            int64_t begin, int64_t end) {
      DepthwiseArgs<std::uint8_t> args = {};
      args.in = x;
      args.in_row_begin = in_row_begin;
      args.in_h = in.h;
      args.in_w = in.w;
      args.c = in.c;
      args.w = packed.data();
      args.multiplier = scales.multiplier.data();
      args.bias = scales.bias.data();
      args.out = y;
      args.out_w = out.w;
      args.row_begin = begin;
      args.row_end = end;
      args.kh = kernel.h;
      args.kw = kernel.w;
      args.stride = kernel.stride;
      args.padding = kernel.padding;
      args.padding_value = padding_value;
      args.least = scales.least;
      args.most = scales.most;
      select_depthwise<std::uint8_t>(isa).run(args);
    };
  };
  check(problem);
}

}  // namespace

LPN_TEST(depthwise_of_bytes_at_network_shapes) {
  check_depthwise({16, 48, 64}, {3, 3, 1, 1}, 0);
  check_depthwise({16, 24, 128}, {3, 3, 2, 1}, 0);
  check_depthwise({16, 12, 512}, {3, 3, 1, 1}, 0);
}

LPN_TEST(depthwise_of_bytes_at_odd_shapes) {
  for (const int64_t c : {1, 3, 17, 33, 65}) {
    for (const int64_t k : {1, 2, 3, 4, 5, 7}) {
      for (const int64_t stride : {1, 2, 3}) {
        check_depthwise({9, 13, c}, {k, k, stride, k / 2});
        check_depthwise({8, 11, c}, {k, k, stride, 0});
        if (k % 2 == 1) check_depthwise({1, 1, c}, {k, k, stride, k / 2});
      }
    }
  }
  check_depthwise({6, 9, 20}, {3, 5, 1, 2});
  check_depthwise({6, 9, 20}, {5, 3, 2, 3}, 255);
  check_depthwise({6, 9, 20}, {9, 3, 1, 4});
}

// Tiles at a row's ends read padding, and those of the last columns more than exist.
LPN_TEST(depthwise_of_bytes_at_the_edges) {
  for (const int64_t k : {3, 5}) {
    for (const int64_t stride : {1, 2}) {
      for (int64_t padding = 0; padding <= 3; ++padding) {
        for (int64_t width = std::max<int64_t>(1, k - 2 * padding); width <= 17; ++width)
          check_depthwise({7, width, 40}, {k, k, stride, padding});
      }
    }
  }
  for (int64_t padding = 0; padding <= 3; ++padding) {
    for (int64_t width = std::max<int64_t>(1, 3 - 2 * padding); width <= 9; ++width)
      check_depthwise({5, width, 128}, {3, 3, 1, padding});
  }
  for (int64_t height = 1; height <= 9; ++height) check_depthwise({height, 6, 70}, {3, 3, 1, 1});
}

// Rows are taken in strips, whose quads fit, and a kernel without such a strip pixel by pixel.
LPN_TEST(depthwise_of_bytes_in_strips) {
  for (const int64_t width : {92, 94, 96, 97, 98, 200})
    check_depthwise({5, width, 5}, {3, 3, 1, 1});
  for (const int64_t stride : {1, 2}) {
    check_depthwise({5, 120, 66}, {3, 3, stride, 1});
    check_depthwise({6, 90, 18}, {7, 7, stride, 3});
    check_depthwise({31, 33, 18}, {31, 31, stride, 15});
    check_depthwise({4, 120, 18}, {2, 95, stride, 40});
  }
}

LPN_TEST(depthwise_of_bytes_with_windows_beyond_the_map) {
  for (const int64_t c : {1, 17, 70}) {
    for (const int64_t padding : {4, 9}) {
      for (const int64_t k : {1, 3, 5}) {
        for (const int64_t stride : {1, 2, 4}) check_depthwise({3, 4, c}, {k, k, stride, padding});
      }
    }
    constexpr int64_t kFar = int64_t{1} << 61;
    check_depthwise({1, 1, c}, {1, 1, kFar, kFar});
    check_depthwise({2, 3, c}, {3, 3, kFar, kFar});
  }
}

}  // namespace lpn
