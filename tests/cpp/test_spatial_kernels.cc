// conv, group_deconv and max_pool on every supported tier.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>

#include "base/cpu_features.h"
#include "kernels/conv/conv.h"
#include "kernels/group_deconv/group_deconv.h"
#include "kernels/max_pool/max_pool.h"
#include "spatial_problem.h"
#include "test.h"

namespace lpn {
namespace {

using namespace test;

void check_conv(const Map& in, int64_t out_c, const Kernel& kernel, Activation activation,
                bool with_residual) {
  Problem<float> problem = sliding<float>("conv", in, out_c, kernel, activation);
  const Map out = problem.out;
  const int64_t taps = kernel.h * kernel.w;
  const Floats w = random_floats(out_c * in.c * taps, 2);
  const Floats bias = random_floats(out_c, 3);
  const Floats residual = random_floats(with_residual ? out.size() : 0, 4);
  for_each_tap(in, out, kernel, [&](int64_t to, int64_t from, int64_t tap) {
    for (int64_t o = 0; o < out_c; ++o) {
      for (int64_t c = 0; c < in.c; ++c) {
        problem.expected[at(to * out_c + o)].add(
            static_cast<double>(problem.x[at(from * in.c + c)]) *
            w[at((o * in.c + c) * taps + tap)]);
      }
    }
  });
  add_per_channel(problem, bias);
  if (with_residual) add_per_channel(problem, residual);

  problem.make = [&](Isa isa) -> Rows<float> {
    Floats packed(at(conv_packed_size<float>(isa, kernel.h, kernel.w, in.c, out_c)));
    pack_conv(isa, w.data(), kernel.h, kernel.w, in.c, out_c, packed.data());
    return [&, isa, packed](const float* x, int64_t in_row_begin, float* y, int64_t begin,
                            int64_t end) {
      Floats scratch(at(conv_scratch_size<float, float>(end - begin, in.h, in.w, in.c, kernel.h,
                                                        kernel.stride, kernel.padding)));
      ConvArgs<float, float> args = {};
      args.in = x;
      args.in_row_begin = in_row_begin;
      args.in_h = in.h;
      args.in_w = in.w;
      args.in_c = in.c;
      args.packed_w = packed.data();
      args.bias = bias.data();
      args.residual = with_residual ? residual.data() + begin * out.w * out_c : nullptr;
      args.ld_residual = out_c;
      args.out = y;
      args.ld_out = out_c;
      args.out_w = out.w;
      args.out_c = out_c;
      args.row_begin = begin;
      args.row_end = end;
      args.kh = kernel.h;
      args.kw = kernel.w;
      args.stride = kernel.stride;
      args.padding = kernel.padding;
      args.activation = activation;
      args.scratch = scratch.data();
      select_conv<float, float>(isa).run(args);
    };
  };
  check(problem);
}

template <class T>
void check_group_deconv_of(const Map& in, int64_t out_c, int64_t groups, const Kernel& kernel,
                           Activation activation) {
  Problem<T> problem;
  problem.name = element_name<T>() + describe("group_deconv", in, kernel, out_c) +
                 test::concatenate(" groups ", groups);
  problem.in = in;
  const Map out = {(in.h - 1) * kernel.stride - 2 * kernel.padding + kernel.h,
                   (in.w - 1) * kernel.stride - 2 * kernel.padding + kernel.w, out_c};
  problem.out = out;
  problem.x = as_elements<T>(random_floats(in.size(), 1));
  problem.expected.resize(static_cast<std::size_t>(out.size()));
  problem.activation = activation;
  const int64_t taps = kernel.h * kernel.w;
  const int64_t inputs = in.c / groups;
  const int64_t outputs = out_c / groups;
  const Floats w = random_floats(in.c * outputs * taps, 2);
  const Floats factors = as_elements<T>(w);
  const Floats bias = random_floats(out_c, 3);
  // A transposed convolution is the sliding window with input and output exchanged.
  for_each_tap(out, in, kernel, [&](int64_t from, int64_t to, int64_t tap) {
    for (int64_t c = 0; c < in.c; ++c) {
      for (int64_t o = 0; o < outputs; ++o) {
        problem.expected[at(to * out_c + c / inputs * outputs + o)].add(
            static_cast<double>(problem.x[at(from * in.c + c)]) *
            factors[at((c * outputs + o) * taps + tap)]);
      }
    }
  });
  add_per_channel(problem, bias);
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

  problem.make = [&](Isa isa) -> Rows<T> {
    Floats packed(at(group_deconv_packed_size<T>(isa, kernel.h, kernel.w, in.c, out_c, groups)));
    pack_group_deconv<T>(isa, w.data(), kernel.h, kernel.w, in.c, out_c, groups, packed.data());
    return [&, isa, packed](const T* x, int64_t in_row_begin, T* y, int64_t begin, int64_t end) {
      Floats scratch(at(group_deconv_scratch_size<T>(end - begin, in.h, in.w, in.c, groups,
                                                     kernel.h, kernel.stride)));
      GroupDeconvArgs<T> args = {};
      args.in = x;
      args.in_row_begin = in_row_begin;
      args.in_h = in.h;
      args.in_w = in.w;
      args.in_c = in.c;
      args.packed_w = packed.data();
      args.bias = bias.data();
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
      args.activation = activation;
      args.scratch = scratch.data();
      select_group_deconv<T>(isa).run(args);
    };
  };
  check(problem);
}

void check_group_deconv(const Map& in, int64_t out_c, int64_t groups, const Kernel& kernel,
                        Activation activation) {
  check_group_deconv_of<float>(in, out_c, groups, kernel, activation);
  check_group_deconv_of<Bfloat16>(in, out_c, groups, kernel, activation);
}

template <class T>
void check_max_pool_of(const Map& in, const Kernel& kernel) {
  Problem<T> problem = sliding<T>("max_pool", in, in.c, kernel, Activation::kNone);
  const Map out = problem.out;
  for (Sum& sum : problem.expected) sum.value = -std::numeric_limits<double>::infinity();
  for_each_tap(in, out, kernel, [&](int64_t to, int64_t from, int64_t) {
    for (int64_t c = 0; c < in.c; ++c) {
      double& best = problem.expected[at(to * in.c + c)].value;
      best = std::max<double>(best, problem.x[at(from * in.c + c)]);
    }
  });
  problem.make = [&](Isa isa) -> Rows<T> {
    return [&, isa](const T* x, int64_t in_row_begin, T* y, int64_t begin, int64_t end) {
      select_max_pool<T>(isa).run({x, in_row_begin, in.h, in.w, in.c, y, out.w, begin, end,
                                   kernel.h, kernel.stride, kernel.padding});
    };
  };
  check(problem);
}

void check_max_pool(const Map& in, const Kernel& kernel) {
  check_max_pool_of<float>(in, kernel);
  check_max_pool_of<Bfloat16>(in, kernel);
}

}  // namespace

LPN_TEST(conv_at_network_shapes) {
  check_conv({64, 48, 3}, 64, {7, 7, 2, 3}, Activation::kRelu, false);
  check_conv({16, 24, 64}, 128, {1, 1, 2, 0}, Activation::kNone, false);
  check_conv({8, 12, 32}, 32, {3, 3, 1, 1}, Activation::kRelu6, true);
}

LPN_TEST(conv_at_odd_shapes) {
  for (const int64_t in_c : {1, 3, 5, 17}) {
    for (const int64_t out_c : {1, 5, 17, 33, 66}) {
      check_conv({7, 9, in_c}, out_c, {3, 3, 2, 1}, Activation::kRelu, out_c % 2 == 1);
    }
  }
  for (const Kernel kernel : {Kernel{1, 1, 1, 0},
                              {3, 3, 1, 1},
                              {5, 5, 2, 2},
                              {7, 7, 3, 3},
                              {2, 3, 1, 0},
                              {3, 2, 2, 1},
                              {1, 1, 1, 1},
                              {1, 1, 3, 2}}) {
    check_conv({8, 15, 5}, 9, kernel, Activation::kNone, true);
    if (kernel.h <= 1 + 2 * kernel.padding && kernel.w <= 1 + 2 * kernel.padding) {
      check_conv({1, 1, 4}, 3, kernel, Activation::kNone, false);
    }
  }
}

LPN_TEST(group_deconv_at_network_shapes) {
  check_group_deconv({16, 12, 512}, 256, 256, {4, 4, 2, 1}, Activation::kRelu);
  check_group_deconv({16, 24, 256}, 256, 256, {4, 4, 2, 1}, Activation::kRelu);
  check_group_deconv({8, 8, 32}, 24, 1, {4, 4, 2, 1}, Activation::kRelu);
}

LPN_TEST(group_deconv_at_odd_shapes) {
  struct Channels {
    int64_t in, out, groups;
  };
  for (const Channels channels : {Channels{1, 1, 1},
                                  {5, 3, 1},
                                  {17, 33, 1},
                                  {4, 70, 1},
                                  {6, 1, 1},
                                  {6, 3, 3},
                                  {34, 17, 17},
                                  {66, 33, 33},
                                  {33, 33, 33},
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
      check_group_deconv({5, 7, channels.in}, channels.out, channels.groups, kernel,
                         Activation::kNone);
      if (kernel.h > 2 * kernel.padding && kernel.w > 2 * kernel.padding) {
        check_group_deconv({1, 1, channels.in}, channels.out, channels.groups, kernel,
                           Activation::kRelu6);
      }
    }
  }
}

// Most windows hold nothing but padding.
LPN_TEST(windows_beyond_the_map) {
  for (const int64_t c : {1, 5, 17, 40}) {
    for (const int64_t padding : {4, 9}) {
      for (const int64_t k : {1, 3, 5})
        check_conv({3, 4, c}, 5, {k, k, 2, padding}, Activation::kNone, true);
    }
    check_conv({3, 4, c}, 5, {3, 3, 1 << 12, 1 << 12}, Activation::kNone, false);
    // Outputs that no input reaches.
    check_group_deconv({2, 2, c}, c, c, {2, 2, 9, 3}, Activation::kNone);
    check_group_deconv({2, 2, 2 * c}, c, c, {2, 2, 9, 3}, Activation::kNone);
    check_group_deconv({2, 2, c}, 3, 1, {2, 2, 9, 3}, Activation::kNone);
  }
}

// Work follows the output's size, not the stride: a loop over the strides of these would not end.
LPN_TEST(group_deconv_with_a_stride_beyond_the_map) {
  constexpr int64_t kStride = int64_t{1} << 40;
  for (const int64_t outputs : {1, 3}) {
    check_group_deconv({1, 1, 10}, 5 * outputs, 5, {3, 4, kStride, 0}, Activation::kNone);
    check_group_deconv({1, 1, 10}, 5 * outputs, 5, {3, 4, kStride, 1}, Activation::kRelu);
    check_group_deconv({2, 2, 10}, 5 * outputs, 5, {9, 7, kStride, kStride / 2}, Activation::kNone);
  }
}

LPN_TEST(max_pool) {
  check_max_pool({32, 24, 64}, {3, 3, 2, 1});
  for (const int64_t c : {1, 3, 5, 17, 33}) {
    check_max_pool({7, 9, c}, {3, 3, 2, 1});
    check_max_pool({8, 6, c}, {2, 2, 2, 0});
    check_max_pool({5, 6, c}, {5, 5, 1, 2});
    check_max_pool({1, 1, c}, {3, 3, 2, 1});
  }
}

template <class T>
void check_max_pool_keeps_nan() {
  const T nan = narrow<T>(std::numeric_limits<float>::quiet_NaN());
  for (const Isa isa : supported_isas()) {
    for (std::size_t at = 0; at < 4; ++at) {
      std::vector<T> x = narrowed<T>({1.0f, 2.0f, 3.0f, 4.0f});
      x[at] = nan;
      T y = narrow<T>(0.0f);
      select_max_pool<T>(isa).run({x.data(), 0, 2, 2, 1, &y, 1, 0, 1, 2, 2, 0});
      EXPECT(std::isnan(widen(y)), "a NaN at ", at, " gave ", widen(y), " on ", isa_name(isa));
    }
    constexpr int64_t kChannels = 19;
    const std::vector<T> ones(9 * kChannels, narrow<T>(1.0f));
    for (int64_t at = 0; at < 9 * kChannels; ++at) {
      std::vector<T> x = ones;
      std::vector<T> y(kChannels);
      x[static_cast<std::size_t>(at)] = nan;
      select_max_pool<T>(isa).run({x.data(), 0, 3, 3, kChannels, y.data(), 1, 0, 1, 3, 1, 0});
      for (int64_t c = 0; c < kChannels; ++c) {
        EXPECT(std::isnan(widen(y[static_cast<std::size_t>(c)])) == (c == at % kChannels),
               "channel ", c, " of 3 x 3 with a NaN at ", at, " on ", isa_name(isa));
      }
    }
  }
}

LPN_TEST(max_pool_keeps_nan) {
  check_max_pool_keeps_nan<float>();
  check_max_pool_keeps_nan<Bfloat16>();
}

}  // namespace lpn
