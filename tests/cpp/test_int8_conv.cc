// conv of bytes on every supported tier.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "byte_problem.h"
#include "kernels/conv/border_classes.h"
#include "kernels/conv/conv.h"
#include "test.h"

namespace lpn {
namespace {

using namespace test;

constexpr float kResidualScale = 0.371f;

struct Options {
  std::uint8_t padding_value = 7;
  bool residual = false;
  bool classes = true;
};

// The bias of an output pixel by the taps that lie inside, as rectangles [top, bottom) x [left,
// right): any number that differs from one to the next.
float border_bias(int64_t top, int64_t bottom, int64_t left, int64_t right) {
  return 0.25f * static_cast<float>(top * 7 + bottom * 5 + left * 3 + right * 11);
}

void check_conv(const Map& in, int64_t out_c, const Kernel& kernel, const Options& options = {}) {
  ByteProblem problem;
  problem.name = describe("conv of bytes", in, kernel, out_c);
  problem.in = in;
  const Map out = {window_count(in.h, kernel.h, kernel.stride, kernel.padding),
                   window_count(in.w, kernel.w, kernel.stride, kernel.padding), out_c};
  problem.out = out;
  problem.x = random_bytes(in.size(), 1);
  problem.input_rows = window_rows(in.h, kernel.h, kernel.stride, kernel.padding);
  const int64_t taps = kernel.h * kernel.w;
  const Factors w = random_factors(out_c * in.c * taps, 2);
  const Scales scales = random_scales(out_c, in.c * taps, 3);
  const Bytes residual = random_bytes(out.size(), 4);
  for (int64_t y = 0; y < out.h; ++y) {
    for (int64_t x = 0; x < out.w; ++x) {
      const int64_t above = y * kernel.stride - kernel.padding;
      const int64_t before = x * kernel.stride - kernel.padding;
      int64_t top = kernel.h, bottom = 0, left = kernel.w, right = 0;
      for (int64_t o = 0; o < out_c; ++o) {
        int64_t sum = 0;
        for (int64_t tap = 0; tap < taps; ++tap) {
          const int64_t i = tap / kernel.w;
          const int64_t j = tap % kernel.w;
          const bool in_rows = above + i >= 0 && above + i < in.h;
          const bool in_columns = before + j >= 0 && before + j < in.w;
          if (in_rows) top = std::min(top, i), bottom = std::max(bottom, i + 1);
          if (in_columns) left = std::min(left, j), right = std::max(right, j + 1);
          for (int64_t c = 0; c < in.c; ++c) {
            const int64_t at_pixel = ((above + i) * in.w + before + j) * in.c + c;
            const int64_t q =
                in_rows && in_columns ? problem.x[at(at_pixel)] : options.padding_value;
            sum += q * w[at((o * in.c + c) * taps + tap)];
          }
        }
        float bias = scales.bias[at(o)];
        if (bottom == 0) top = 0;
        if (right == 0) left = 0;
        if (options.classes) bias += border_bias(top, bottom, left, right);
        float v = fma_once(static_cast<float>(sum), scales.multiplier[at(o)], bias);
        if (options.residual) {
          const std::uint8_t byte = residual[at((y * out.w + x) * out_c + o)];
          v = fma_once(static_cast<float>(byte), kResidualScale, v);
        }
        problem.expected.push_back(byte_of(v, scales.least, scales.most));
      }
    }
  }

  const BorderClasses rows = conv_border_classes(in.h, kernel.h, kernel.stride, kernel.padding);
  const BorderClasses columns = conv_border_classes(in.w, kernel.w, kernel.stride, kernel.padding);
  Floats biases;
  for (const BorderClasses::Taps& row : rows.taps) {
    for (const BorderClasses::Taps& column : columns.taps) {
      for (const float bias : scales.bias)
        biases.push_back(bias + border_bias(row.begin, row.end, column.begin, column.end));
    }
  }

  problem.make = [&](Isa isa) -> ByteRows {
    const int64_t size = conv_packed_size_s8(isa, kernel.h, kernel.w, in.c, out_c);
    std::vector<std::int16_t> packed(at((size + 1) / 2));
    pack_conv_s8(isa, w.data(), kernel.h, kernel.w, in.c, out_c, packed.data());
    return [&, isa, packed](const std::uint8_t* x, int64_t in_row_begin, std::uint8_t* y,
                            int64_t begin, int64_t end) {
      Bytes scratch(at(conv_scratch_size_u8(isa, end - begin, in.w, in.c, kernel.h, kernel.w,
                                            kernel.stride, kernel.padding)));
      ConvArgs<std::uint8_t, std::uint8_t> args = {};
      args.in = x;
      args.in_row_begin = in_row_begin;
      args.in_h = in.h;
      args.in_w = in.w;
      args.in_c = in.c;
      args.packed_w = packed.data();
      args.multiplier = scales.multiplier.data();
      args.bias = scales.bias.data();
      args.column_classes = 1;
      if (options.classes) {
        args.bias = biases.data();
        args.row_class = rows.of_window.data();
        args.column_class = columns.of_window.data();
        args.column_classes = static_cast<int64_t>(columns.taps.size());
      }
      if (options.residual) args.residual = residual.data() + begin * out.w * out_c;
      args.ld_residual = out_c;
      args.residual_scale = kResidualScale;
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
      args.padding_value = options.padding_value;
      args.least = scales.least;
      args.most = scales.most;
      args.scratch = scratch.data();
      select_conv<std::uint8_t, std::uint8_t>(isa).run(args);
    };
  };
  check(problem);
}

}  // namespace

LPN_TEST(conv_of_bytes_at_network_shapes) {
  check_conv({32, 24, 3}, 64, {7, 7, 2, 3});
  check_conv({8, 12, 64}, 64, {3, 3, 1, 1}, {0, true, false});
  check_conv({8, 12, 32}, 128, {3, 3, 2, 1}, {0, false, false});
}

LPN_TEST(conv_of_bytes_at_odd_shapes) {
  for (const int64_t c : {1, 2, 3, 5, 16}) {
    for (const int64_t k : {1, 2, 3, 5}) {
      for (const int64_t stride : {1, 2, 3}) {
        for (const int64_t out_c : {1, 17, 48, 65}) {
          check_conv({7, 9, c}, out_c, {k, k, stride, k / 2}, {255, c == 3, true});
          check_conv({6, 8, c}, out_c, {k, k, stride, 0}, {7, false, c == 2});
        }
      }
    }
  }
  check_conv({6, 9, 20}, 10, {3, 5, 1, 2});
  check_conv({6, 9, 20}, 10, {5, 3, 2, 3}, {0, true, true});
  check_conv({1, 1, 3}, 5, {7, 7, 2, 3});
}

// Windows that lie beside the map altogether.
LPN_TEST(conv_of_bytes_with_wide_padding) {
  check_conv({3, 4, 2}, 18, {3, 3, 1, 5});
  check_conv({2, 2, 9}, 64, {2, 2, 2, 4}, {31, true, true});
}

// Rows of a window in several pieces, gathered.
LPN_TEST(conv_of_bytes_gathers_long_rows) {
  check_conv({9, 20, 3}, 64, {3, 11, 1, 5});
  check_conv({9, 40, 1}, 33, {7, 37, 2, 18});
}

LPN_TEST(border_classes_tell_taps_inside) {
  const BorderClasses stem = conv_border_classes(256, 7, 2, 3);
  EXPECT(stem.of_window.size() == 128 && stem.taps.size() == 4, stem.taps.size());
  EXPECT(stem.of_window[0] == 0 && stem.of_window[1] == 1 && stem.of_window[2] == 2, "");
  EXPECT(stem.of_window[126] == 2 && stem.of_window[127] == 3, "");
  EXPECT(stem.taps[0].begin == 3 && stem.taps[0].end == 7, stem.taps[0].begin);
  EXPECT(stem.taps[2].begin == 0 && stem.taps[2].end == 7, stem.taps[2].end);
  EXPECT(stem.taps[3].begin == 0 && stem.taps[3].end == 5, stem.taps[3].end);
  const BorderClasses none = conv_border_classes(12, 3, 1, 0);
  EXPECT(none.of_window.size() == 10 && none.taps.size() == 1, none.taps.size());
  const BorderClasses many = conv_border_classes(600, 600, 1, 599);
  EXPECT(many.of_window.empty() && many.taps.empty(), many.taps.size());
}

}  // namespace lpn
