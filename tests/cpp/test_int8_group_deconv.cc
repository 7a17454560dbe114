// group_deconv of bytes on every supported tier.
#include <algorithm>
#include <cstdint>
#include <vector>

#include "byte_problem.h"
#include "kernels/group_deconv/group_deconv.h"
#include "test.h"

namespace lpn {
namespace {

using namespace test;

void check_group_deconv(const Map& in, int64_t out_c, int64_t groups, const Kernel& kernel) {
  ByteProblem problem;
  problem.name =
      describe("group_deconv of bytes", in, kernel, out_c) + concatenate(" groups ", groups);
  problem.in = in;
  const Map out = {(in.h - 1) * kernel.stride - 2 * kernel.padding + kernel.h,
                   (in.w - 1) * kernel.stride - 2 * kernel.padding + kernel.w, out_c};
  problem.out = out;
  problem.x = random_bytes(in.size(), 1);
  const int64_t taps = kernel.h * kernel.w;
  const int64_t inputs = in.c / groups;
  const int64_t outputs = out_c / groups;
  const Factors w = random_factors(in.c * outputs * taps, 2);
  const Scales scales = random_scales(
      out_c, std::max<int64_t>(1, taps / (kernel.stride * kernel.stride)) * inputs, 3);
  std::vector<int64_t> sums(at(out.size()));
  // A transposed convolution is the sliding window with input and output exchanged.
  for_each_tap(out, in, kernel, [&](int64_t from, int64_t to, int64_t tap) {
    for (int64_t c = 0; c < in.c; ++c) {
      for (int64_t o = 0; o < outputs; ++o) {
        sums[at(to * out_c + c / inputs * outputs + o)] +=
            int64_t{problem.x[at(from * in.c + c)]} * w[at((c * outputs + o) * taps + tap)];
      }
    }
  });
  for (std::size_t i = 0; i < sums.size(); ++i)
    problem.expected.push_back(byte_of(sums[i], scales, static_cast<int64_t>(i) % out_c));
  problem.input_rows = [&](int64_t begin, int64_t end, int64_t& first, int64_t& last) {
    first = in.h;
    last = 0;
    for (int64_t y = begin; y < end; ++y) {
      for (int64_t i = 0; i < kernel.h; ++i) {
        const int64_t position = y + kernel.padding - i;
        if (position % kernel.stride != 0 || position < 0 || position / kernel.stride >= in.h)
          continue;
        first = std::min(first, position / kernel.stride);
        last = std::max(last, position / kernel.stride + 1);
      }
    }
    first = std::min(first, last);
  };

  problem.make = [&](Isa isa) -> ByteRows {
    Factors packed(at(
        group_deconv_packed_size_s8(isa, kernel.h, kernel.w, kernel.stride, in.c, out_c, groups)));
    pack_group_deconv_s8(isa, w.data(), kernel.h, kernel.w, kernel.stride, in.c, out_c, groups,
                         packed.data());
    return [&, isa, packed](const std::uint8_t* x, int64_t in_row_begin, std::uint8_t* y,
                            int64_t begin, int64_t end) {
      Bytes scratch(at(group_deconv_scratch_size<std::uint8_t>(end - begin, in.h, in.w, in.c,
                                                               groups, kernel.h, kernel.stride)));
      GroupDeconvArgs<std::uint8_t> args = {};
      args.in = x;
      args.in_row_begin = in_row_begin;
      args.in_h = in.h;
      args.in_w = in.w;
      args.in_c = in.c;
      args.packed_w = packed.data();
      args.multiplier = scales.multiplier.data();
      args.bias = scales.bias.data();
      args.out = y;
      args.out_w = out.w;
      args.out_c = out_c;
      args.row_begin = begin;
      args.row_end = end;
      args.groups = groups;
      args.kh = kernel.h;
      args.kw = kernel.w;
      args.stride = kernel.stride;
      args.padding = kernel.padding;
      args.least = scales.least;
      args.most = scales.most;
      args.scratch = scratch.data();
      select_group_deconv<std::uint8_t>(isa).run(args);
    };
  };
  check(problem);
}

}  // namespace

LPN_TEST(group_deconv_of_bytes_at_network_shapes) {
  check_group_deconv({8, 12, 512}, 256, 256, {4, 4, 2, 1});
  check_group_deconv({8, 24, 256}, 256, 256, {4, 4, 2, 1});
  check_group_deconv({8, 8, 32}, 24, 1, {4, 4, 2, 1});
}

LPN_TEST(group_deconv_of_bytes_at_odd_shapes) {
  struct Channels {
    int64_t in, out, groups;
  };
  for (const Channels channels : {Channels{1, 1, 1},
                                  {5, 3, 1},
                                  {17, 33, 1},
                                  {4, 70, 1},
                                  {7, 150, 1},
                                  {6, 1, 1},
                                  {80, 1, 1},
                                  {6, 3, 3},
                                  {34, 17, 17},
                                  {132, 66, 66},
                                  {33, 33, 33},
                                  {65, 65, 65},
                                  {51, 17, 17},
                                  {6, 4, 2},
                                  {10, 15, 5},
                                  {8, 40, 2}}) {
    for (const Kernel kernel : {Kernel{4, 4, 2, 1},
                                {3, 3, 2, 1},
                                {2, 2, 2, 0},
                                {3, 3, 1, 1},
                                {4, 4, 2, 0},
                                {5, 4, 3, 1},
                                {2, 1, 3, 0},
                                {5, 5, 1, 1},
                                {7, 7, 2, 1},
                                {4, 4, 2, 2}}) {
      check_group_deconv({5, 7, channels.in}, channels.out, channels.groups, kernel);
      if (2 * kernel.padding < kernel.h && 2 * kernel.padding < kernel.w)
        check_group_deconv({1, 1, channels.in}, channels.out, channels.groups, kernel);
    }
  }
}

// Most outputs have no tap.
LPN_TEST(group_deconv_of_bytes_with_a_stride_beyond_the_kernel) {
  check_group_deconv({3, 2, 5}, 5, 5, {2, 3, 40, 0});
  check_group_deconv({2, 3, 6}, 4, 2, {3, 1, 17, 0});
}

}  // namespace lpn
