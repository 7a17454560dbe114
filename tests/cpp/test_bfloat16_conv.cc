// conv to bfloat16 on every supported tier: to the bit what software computes number by number,
// however the rows are cut; nothing read outside the rows that a call may read.
#include <algorithm>
#include <cstdint>
#include <limits>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/cpu_features.h"
#include "bfloat16_reference.h"
#include "kernels/conv/conv.h"
#include "spatial_problem.h"
#include "test.h"

namespace lpn {
namespace {

using std::int64_t;
using test::at;
using test::Floats;
using test::Halves;
using test::Kernel;
using test::Map;

template <class In>
struct Problem {
  Problem(const Map& of, int64_t channels, const Kernel& window, Activation act, bool with_residual)
      : in(of),
        out{test::window_count(of.h, window.h, window.stride, window.padding),
            test::window_count(of.w, window.w, window.stride, window.padding), channels},
        kernel(window),
        activation(act),
        w(test::random_floats(channels * of.c * window.h * window.w, 2)),
        bias(test::random_floats(channels, 3)) {
    for (const float value : test::random_floats(in.size(), 1))
      x.push_back(test::rounded<In>(value));
    if (with_residual) residual = test::random_halves(out.size(), 4);
  }

  Halves run(Isa isa, int64_t rows_per_call) const {
    Buffer<Bfloat16> packed(at(conv_packed_size<Bfloat16>(isa, kernel.h, kernel.w, in.c, out.c)));
    pack_conv(isa, w.data(), kernel.h, kernel.w, in.c, out.c, packed.data());
    const auto input_rows = test::window_rows(in.h, kernel.h, kernel.stride, kernel.padding);
    Halves result;
    for (int64_t begin = 0; begin < out.h; begin += rows_per_call) {
      const int64_t end = std::min(out.h, begin + rows_per_call);
      int64_t first = 0;
      int64_t last = 0;
      input_rows(begin, end, first, last);
      // Copies of just the rows that the call may read and write.
      const int64_t in_row = in.w * in.c;
      const int64_t out_row = out.w * out.c;
      std::vector<In> rows(x.begin() + first * in_row, x.begin() + last * in_row);
      rows.reserve(1);
      Halves scratch(at(conv_scratch_size<In, Bfloat16>(end - begin, in.h, in.w, in.c, kernel.h,
                                                        kernel.stride, kernel.padding)));
      Halves y(at((end - begin) * out_row), test::nearest(-1.0f));
      ConvArgs<In, Bfloat16> args{};
      args.in = rows.data();
      args.in_row_begin = first;
      args.in_h = in.h;
      args.in_w = in.w;
      args.in_c = in.c;
      args.packed_w = packed.data();
      args.bias = bias.data();
      if (!residual.empty()) args.residual = residual.data() + begin * out_row;
      args.ld_residual = args.ld_out = args.out_c = out.c;
      args.out = y.data();
      args.out_w = out.w;
      args.row_begin = begin;
      args.row_end = end;
      args.kh = kernel.h;
      args.kw = kernel.w;
      args.stride = kernel.stride;
      args.padding = kernel.padding;
      args.activation = activation;
      args.scratch = scratch.data();
      select_conv<In, Bfloat16>(isa).run(args);
      result.insert(result.end(), y.begin(), y.end());
    }
    return result;
  }

  // Rows above and below the map are no terms, pixels beside it are zeros.
  Bfloat16 expected(int64_t y, int64_t column, int64_t channel) const {
    float sum = 0.0f;
    for (int64_t i = 0; i < kernel.h; ++i) {
      const int64_t v = y * kernel.stride + i - kernel.padding;
      if (v < 0 || v >= in.h) continue;
      Floats a;
      Floats b;
      for (int64_t j = 0; j < kernel.w; ++j) {
        const int64_t u = column * kernel.stride + j - kernel.padding;
        for (int64_t c = 0; c < in.c; ++c) {
          const bool inside = u >= 0 && u < in.w;
          const float value = inside ? test::value_of(x[at((v * in.w + u) * in.c + c)]) : 0.0f;
          a.push_back(test::value_of(test::nearest(value)));
          const int64_t tap = ((channel * in.c + c) * kernel.h + i) * kernel.w + j;
          b.push_back(test::value_of(test::nearest(w[at(tap)])));
        }
      }
      sum = test::sum_of_pairs(a, b, sum);
    }
    sum = test::add_flushed(sum, bias[at(channel)]);
    const int64_t pixel = y * out.w + column;
    if (!residual.empty())
      sum = test::add_flushed(sum, test::value_of(residual[at(pixel * out.c + channel)]));
    return test::nearest(test::activated_flushed(sum, activation));
  }

  Halves expected_map() const {
    Halves map;
    for (int64_t y = 0; y < out.h; ++y) {
      for (int64_t column = 0; column < out.w; ++column) {
        for (int64_t channel = 0; channel < out.c; ++channel)
          map.push_back(expected(y, column, channel));
      }
    }
    return map;
  }

  void check() const {
    const Halves wanted = expected_map();
    for (const Isa isa : supported_isas()) {
      const std::string where =
          test::describe("conv", in, kernel, out.c) + " by " + select_conv<In, Bfloat16>(isa).name;
      for (const int64_t rows : {out.h, int64_t{1}, int64_t{3}}) {
        const Halves result = run(isa, rows);
        std::size_t first = 0;
        while (first < wanted.size() && test::same(result[first], wanted[first])) ++first;
        EXPECT(first == wanted.size(), where, " in calls of ", rows, " rows: element ", first,
               " is ", test::value_of(result[first]), " instead of ",
               test::value_of(wanted[first]));
      }
    }
  }

  Map in, out;
  Kernel kernel;
  Activation activation;
  std::vector<In> x;
  Floats w, bias;
  Halves residual;
};

void check(const Map& in, int64_t out_c, const Kernel& kernel, Activation activation,
           bool residual) {
  Problem<float>(in, out_c, kernel, activation, residual).check();
  Problem<Bfloat16>(in, out_c, kernel, activation, residual).check();
}

LPN_TEST(bfloat16_conv_at_lpn_shapes) {
  check({64, 48, 3}, 64, {7, 7, 2, 3}, Activation::kRelu, false);
  check({16, 24, 64}, 128, {1, 1, 2, 0}, Activation::kNone, false);
  check({8, 12, 32}, 32, {3, 3, 1, 1}, Activation::kRelu6, true);
}

LPN_TEST(bfloat16_conv_at_odd_shapes) {
  for (const int64_t in_c : {1, 2, 3, 5}) {
    for (const int64_t out_c : {1, 7, 17, 33, 65})
      check({7, 9, in_c}, out_c, {3, 3, 2, 1}, Activation::kRelu, out_c % 2 == 1);
  }
  check({5, 5, 3}, 9, {3, 1, 1, 0}, Activation::kNone, true);
  check({5, 5, 3}, 9, {1, 3, 1, 0}, Activation::kNone, false);
  check({3, 4, 3}, 5, {5, 5, 1, 3}, Activation::kNone, false);  // rows of nothing but padding
}

// A row's odd last term has a partner that is no term: what lies there must not come in.
template <class In>
void check_nan_of() {
  Problem<In> problem({6, 7, 3}, 20, {3, 3, 1, 1}, Activation::kNone, false);
  for (const int64_t pixel : {0, 6, 17, 24, 41}) {
    const std::vector<In> before = problem.x;
    problem.x[at(pixel * 3)] = test::rounded<In>(std::numeric_limits<float>::quiet_NaN());
    problem.check();
    problem.x = before;
  }
}

LPN_TEST(bfloat16_conv_keeps_nan_within_its_windows) {
  check_nan_of<float>();
  check_nan_of<Bfloat16>();
}

}  // namespace
}  // namespace lpn
