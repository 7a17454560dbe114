// depthwise on every supported tier.
#include "kernels/depthwise/depthwise.h"

#include <algorithm>
#include <cstdint>

#include "spatial_problem.h"
#include "test.h"

namespace lpn {
namespace {

using namespace test;

template <class T>
void check_elements(const Map& in, const Kernel& kernel, Activation activation) {
  Problem<T> problem = sliding<T>("depthwise", in, in.c, kernel, activation);
  const Map out = problem.out;
  const int64_t taps = kernel.h * kernel.w;
  const Floats w = random_floats(in.c * taps, 2);
  const Floats factors = as_elements<T>(w);
  const Floats bias = random_floats(in.c, 3);
  for_each_tap(in, out, kernel, [&](int64_t to, int64_t from, int64_t tap) {
    for (int64_t c = 0; c < in.c; ++c) {
      problem.expected[at(to * in.c + c)].add(static_cast<double>(problem.x[at(from * in.c + c)]) *
                                              factors[at(c * taps + tap)]);
    }
  });
  add_per_channel(problem, bias);

  Floats packed(at(depthwise_packed_size(kernel.h, kernel.w, in.c)));
  pack_depthwise<T>(w.data(), kernel.h, kernel.w, in.c, packed.data());
  problem.make = [&](Isa isa) -> Rows<T> {
    return [&, isa](const T* x, int64_t in_row_begin, T* y, int64_t begin, int64_t end) {
      DepthwiseArgs<T> args = {};
      args.in = x;
      args.in_row_begin = in_row_begin;
      args.in_h = in.h;
      args.in_w = in.w;
      args.c = in.c;
      args.w = packed.data();
      args.bias = bias.data();
      args.out = y;
      args.out_w = out.w;
      args.row_begin = begin;
      args.row_end = end;
      args.kh = kernel.h;
      args.kw = kernel.w;
      args.stride = kernel.stride;
      args.padding = kernel.padding;
      args.activation = activation;
      select_depthwise<T>(isa).run(args);
    };
  };
  check(problem);
}

void check_depthwise(const Map& in, const Kernel& kernel, Activation activation) {
  check_elements<float>(in, kernel, activation);
  check_elements<Bfloat16>(in, kernel, activation);
}

}  // namespace

LPN_TEST(depthwise_at_network_shapes) {
  check_depthwise({32, 48, 64}, {3, 3, 1, 1}, Activation::kRelu);
  check_depthwise({32, 24, 128}, {3, 3, 2, 1}, Activation::kRelu);
  check_depthwise({16, 12, 512}, {3, 3, 1, 1}, Activation::kRelu);
}

LPN_TEST(depthwise_at_odd_shapes) {
  for (const int64_t c : {1, 3, 5, 17, 33}) {
    for (const int64_t k : {1, 2, 3, 4, 5, 7}) {
      for (const int64_t stride : {1, 2, 3}) {
        check_depthwise({9, 13, c}, {k, k, stride, k / 2}, Activation::kRelu6);
        check_depthwise({8, 11, c}, {k, k, stride, 0}, Activation::kNone);
        if (k % 2 == 1) check_depthwise({1, 1, c}, {k, k, stride, k / 2}, Activation::kNone);
      }
    }
  }
  check_depthwise({6, 9, 20}, {3, 5, 1, 2}, Activation::kNone);
  check_depthwise({6, 9, 20}, {5, 3, 2, 3}, Activation::kNone);
}

// Tiles at a row's ends skip the padding, where one fits: every width around the tile's, with the
// padding that keeps the size and with others.
LPN_TEST(depthwise_at_the_edges) {
  for (const int64_t k : {3, 5, 7}) {
    for (const int64_t stride : {1, 2}) {
      for (int64_t padding = 0; padding <= 3; ++padding) {
        for (int64_t width = std::max<int64_t>(1, k - 2 * padding); width <= 17; ++width) {
          check_depthwise({7, width, 5}, {k, k, stride, padding}, Activation::kNone);
          check_depthwise({2 + k - std::min<int64_t>(k, padding), width, 40},
                          {k, k, stride, padding}, Activation::kRelu);
        }
      }
    }
  }
  for (int64_t width = 1; width <= 12; ++width) {
    for (const int64_t stride : {1, 2}) {
      check_depthwise({6, width, 19}, {2, 3, stride, 1}, Activation::kNone);
      check_depthwise({6, width, 19}, {5, 3, stride, 2}, Activation::kNone);
      if (width >= 3) check_depthwise({6, width, 19}, {3, 5, stride, 1}, Activation::kNone);
    }
  }
}

// Tiles of several rows, columns and vectors of channels: every height and every number of channels
// around theirs, and heights of kernels that differ from the width.
LPN_TEST(depthwise_with_parts_of_tiles) {
  for (const int64_t kw : {3, 5, 7}) {
    for (const int64_t stride : {1, 2}) {
      for (int64_t height = 1; height <= 9; ++height)
        check_depthwise({height, 6, 24}, {kw, kw, stride, kw / 2}, Activation::kRelu6);
      for (const int64_t c : {8, 15, 16, 31, 32, 49})
        check_depthwise({5, 9, c}, {kw, kw, stride, kw / 2}, Activation::kNone);
      for (const int64_t kh : {1, 2, 4, 8})
        check_depthwise({7, 9, 24}, {kh, kw, stride, kw / 2}, Activation::kRelu);
    }
  }
}

// Most windows hold nothing but padding. The offsets of the larger ones do not even fit a pointer.
LPN_TEST(depthwise_of_windows_beyond_the_map) {
  for (const int64_t c : {1, 5, 17, 40}) {
    for (const int64_t padding : {4, 9}) {
      for (const int64_t k : {1, 3, 5}) {
        check_depthwise({3, 4, c}, {k, k, 1, padding}, Activation::kNone);
        check_depthwise({3, 4, c}, {k, k, 2, padding}, Activation::kNone);
        check_depthwise({3, 4, c}, {k, k, 4, padding}, Activation::kRelu);
      }
    }
    constexpr int64_t kFar = int64_t{1} << 61;
    check_depthwise({1, 1, c}, {1, 1, kFar, kFar}, Activation::kNone);
    check_depthwise({2, 3, c}, {3, 3, kFar, kFar}, Activation::kNone);
  }
}

}  // namespace lpn
