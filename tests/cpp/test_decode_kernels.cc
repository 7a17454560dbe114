// The heatmap decoders and the affine crop on every tier, against double.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "base/cpu_features.h"
#include "kernels/argmax/argmax.h"
#include "kernels/crop_affine/crop_affine.h"
#include "kernels/soft_argmax/soft_argmax.h"
#include "test.h"

namespace lpn {
namespace {

using Floats = std::vector<float>;  // exactly sized, so that AddressSanitizer sees any overrun

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

struct Decoded {
  float coordinates[2];
  float score;
};

Decoded run_soft_argmax(Isa isa, const Floats& map, std::int64_t h, std::int64_t w, float beta,
                        bool quarter = false) {
  Decoded result{};
  select_soft_argmax(isa).run({map.data(), h, w, beta, quarter, result.coordinates, &result.score});
  return result;
}

Decoded run_argmax(Isa isa, const Floats& map, std::int64_t h, std::int64_t w,
                   bool quarter = false) {
  Decoded result{};
  select_argmax(isa).run({map.data(), h, w, quarter, result.coordinates, &result.score});
  return result;
}

bool is_undefined(const Decoded& d) {
  return std::isnan(d.coordinates[0]) && std::isnan(d.coordinates[1]) && d.score == 0.0f;
}

Floats random_map(std::mt19937& generator, std::int64_t h, std::int64_t w, float scale) {
  std::normal_distribution<float> distribution(0.0f, scale);
  Floats map(static_cast<std::size_t>(h * w));
  for (float& v : map) v = distribution(generator);
  return map;
}

void expect_soft_argmax(Isa isa, const Floats& map, std::int64_t h, std::int64_t w, float beta) {
  double top = -std::numeric_limits<double>::infinity();
  for (const float v : map) top = std::max(top, static_cast<double>(v));
  double sum = 0;
  double expected[2] = {0, 0};
  for (std::int64_t i = 0; i < h * w; ++i) {
    const double value = static_cast<double>(map[static_cast<std::size_t>(i)]);
    const double p = std::exp(static_cast<double>(beta) * (value - top));
    sum += p;
    expected[0] += p * static_cast<double>(i % w);
    expected[1] += p * static_cast<double>(i / w);
  }
  const Decoded actual = run_soft_argmax(isa, map, h, w, beta);
  std::int64_t rounded[2];
  for (int axis = 0; axis < 2; ++axis) {
    const double value = static_cast<double>(actual.coordinates[axis]);
    EXPECT(std::abs(value - expected[axis] / sum) <= 1e-4, isa_name(isa), " ", h, "x", w, " beta ",
           beta, " axis ", axis, ": ", value, " for ", expected[axis] / sum);
    rounded[axis] = static_cast<std::int64_t>(std::nearbyint(value));
  }
  EXPECT(actual.score == map[static_cast<std::size_t>(rounded[1] * w + rounded[0])], isa_name(isa),
         " ", h, "x", w, " score ", actual.score);
}

LPN_TEST(soft_argmax_matches_double) {
  std::mt19937 generator(1);
  for (const Isa isa : supported_isas()) {
    for (const float beta : {1.0f, 10.0f, 160.0f, 1e4f}) {
      for (std::int64_t w = 1; w <= 20; ++w) {
        for (const std::int64_t h : {1, 2, 5, 19}) {
          expect_soft_argmax(isa, random_map(generator, h, w, 0.3f), h, w, beta);
        }
      }
      expect_soft_argmax(isa, random_map(generator, 64, 48, 0.3f), 64, 48, beta);
      expect_soft_argmax(isa, random_map(generator, 128, 96, 0.3f), 128, 96, beta);
      expect_soft_argmax(isa, random_map(generator, 64, 48, 3e37f), 64, 48, beta);
    }
  }
}

LPN_TEST(soft_argmax_of_a_constant_map_is_its_centre) {
  for (const Isa isa : supported_isas()) {
    const Decoded d = run_soft_argmax(isa, Floats(64 * 48, -7.5f), 64, 48, 160.0f);
    EXPECT(d.coordinates[0] == 23.5f && d.coordinates[1] == 31.5f, isa_name(isa), " ",
           d.coordinates[0], " ", d.coordinates[1]);
    EXPECT(d.score == -7.5f, isa_name(isa));
  }
}

LPN_TEST(soft_argmax_score_is_at_half_even) {
  for (const Isa isa : supported_isas()) {
    const Decoded low = run_soft_argmax(isa, {1, 1, 0, 0}, 1, 4, 160.0f);       // x = 0.5 -> 0
    const Decoded high = run_soft_argmax(isa, {0, 1, 1, 0.25f}, 1, 4, 160.0f);  // x = 1.5 -> 2
    EXPECT(low.coordinates[0] == 0.5f && low.score == 1.0f, isa_name(isa));
    EXPECT(high.coordinates[0] == 1.5f && high.score == 1.0f, isa_name(isa));
    // 2.5 -> 2, whose value differs from that of 3.
    const Decoded even = run_soft_argmax(isa, {0, 1, 0.5f, 0.25f, 1}, 1, 5, 160.0f);
    EXPECT(even.coordinates[0] == 2.5f && even.score == 0.5f, isa_name(isa), " ", even.score);
  }
}

// Beyond 2^24 floats skip positions, and the last one would be rounded to one outside the map.
LPN_TEST(soft_argmax_of_a_map_longer_than_floats_count) {
  constexpr std::int64_t kLength = (1 << 24) + 4;
  Floats map(kLength, 0.0f);
  for (const std::int64_t position : {kLength - 1, kLength - 2}) {
    map[static_cast<std::size_t>(position)] = 1.0f;
    for (const Isa isa : supported_isas()) {
      const Decoded row = run_soft_argmax(isa, map, 1, kLength, 160.0f);
      EXPECT(row.score == 1.0f && row.coordinates[0] == static_cast<float>(position), position,
             " on ", isa_name(isa), ": ", row.coordinates[0], ", score ", row.score);
      const Decoded column = run_soft_argmax(isa, map, kLength, 1, 160.0f);
      EXPECT(column.score == 1.0f && column.coordinates[1] == static_cast<float>(position),
             position, " on ", isa_name(isa), ": ", column.coordinates[1]);
    }
    map[static_cast<std::size_t>(position)] = 0.0f;
  }
}

LPN_TEST(decoders_of_maps_that_are_not_finite) {
  std::mt19937 generator(2);
  for (const Isa isa : supported_isas()) {
    for (std::size_t position = 0; position < 77; ++position) {
      Floats map = random_map(generator, 7, 11, 1.0f);
      map[position] = kNan;
      EXPECT(is_undefined(run_soft_argmax(isa, map, 7, 11, 160.0f)), isa_name(isa));
      EXPECT(is_undefined(run_argmax(isa, map, 7, 11)), isa_name(isa), " position ", position);
      map[position] = kInfinity;
      EXPECT(is_undefined(run_soft_argmax(isa, map, 7, 11, 160.0f)), isa_name(isa));
      const Decoded peak = run_argmax(isa, map, 7, 11);
      EXPECT(peak.coordinates[0] == static_cast<float>(position % 11) &&
                 peak.coordinates[1] == static_cast<float>(position / 11),
             isa_name(isa));
      // Nothing but this position has any weight.
      Floats rest(77, -kInfinity);
      rest[position] = -1.0f;
      const Decoded only = run_soft_argmax(isa, rest, 7, 11, 160.0f);
      EXPECT(std::abs(only.coordinates[0] - peak.coordinates[0]) <= 1e-6f &&
                 std::abs(only.coordinates[1] - peak.coordinates[1]) <= 1e-6f && only.score == -1,
             isa_name(isa));
    }
    EXPECT(is_undefined(run_soft_argmax(isa, Floats(77, kNan), 7, 11, 1.0f)), isa_name(isa));
    EXPECT(is_undefined(run_soft_argmax(isa, Floats(77, -kInfinity), 7, 11, 1.0f)), isa_name(isa));
    EXPECT(is_undefined(run_argmax(isa, Floats(77, kNan), 7, 11)), isa_name(isa));
  }
}

LPN_TEST(argmax_is_the_first_maximum) {
  std::mt19937 generator(3);
  for (const Isa isa : supported_isas()) {
    for (std::int64_t w = 1; w <= 20; ++w) {
      for (const std::int64_t h : {1, 3, 16}) {
        for (const float offset : {0.0f, 3.0f, -9.0f}) {
          Floats map = random_map(generator, h, w, 1.0f);
          for (float& v : map) v = std::round(v * 2) + offset;  // with ties
          const auto first = std::max_element(map.begin(), map.end());
          const std::int64_t at = *first > 0 ? first - map.begin() : 0;
          const Decoded d = run_argmax(isa, map, h, w);
          EXPECT(d.coordinates[0] == static_cast<float>(at % w) &&
                     d.coordinates[1] == static_cast<float>(at / w) && d.score == *first,
                 isa_name(isa), " ", h, "x", w, " ", d.coordinates[0], " ", d.coordinates[1]);
        }
      }
    }
  }
}

LPN_TEST(quarter_step_needs_two_pixels_of_border) {
  for (const Isa isa : supported_isas()) {
    for (std::int64_t y = 0; y < 6; ++y) {
      for (std::int64_t x = 0; x < 7; ++x) {
        Floats map(42, 0.0f);
        for (std::int64_t i = 0; i < 42; ++i) {  // rises to the left and downwards
          map[static_cast<std::size_t>(i)] = 0.01f * static_cast<float>(i / 7 - i % 7);
        }
        map[static_cast<std::size_t>(y * 7 + x)] = 5.0f;
        const bool steps = x > 1 && x < 6 && y > 1 && y < 5;
        for (const Decoded& d :
             {run_argmax(isa, map, 6, 7, true), run_soft_argmax(isa, map, 6, 7, 160.0f, true)}) {
          EXPECT(d.score == 5.0f, isa_name(isa));
          EXPECT(std::abs(d.coordinates[0] - (static_cast<float>(x) - (steps ? 0.25f : 0.0f))) <=
                         1e-6f &&
                     std::abs(d.coordinates[1] -
                              (static_cast<float>(y) + (steps ? 0.25f : 0.0f))) <= 1e-6f,
                 isa_name(isa), " ", x, ",", y, " gave ", d.coordinates[0], ",", d.coordinates[1]);
        }
      }
    }
  }
}

struct Image {
  std::int64_t h, w, stride;
  std::vector<std::uint8_t> bytes;  // the last row ends with its last pixel
};

Image random_image(std::mt19937& generator, std::int64_t h, std::int64_t w, std::int64_t padding) {
  Image image = {h, w, 3 * w + padding, {}};
  image.bytes.resize(static_cast<std::size_t>((h - 1) * image.stride + 3 * w));
  for (std::uint8_t& b : image.bytes) b = static_cast<std::uint8_t>(generator());
  return image;
}

double sample(const Image& image, double x, double y, int channel) {
  double result = 0;
  for (int dy = 0; dy < 2; ++dy) {
    for (int dx = 0; dx < 2; ++dx) {
      const double at_x = std::floor(x) + dx;
      const double at_y = std::floor(y) + dy;
      if (at_x < 0 || at_y < 0 || at_x >= static_cast<double>(image.w) ||
          at_y >= static_cast<double>(image.h)) {
        continue;
      }
      const std::int64_t at = static_cast<std::int64_t>(at_y) * image.stride +
                              3 * static_cast<std::int64_t>(at_x) + channel;
      result += (1 - std::abs(x - at_x)) * (1 - std::abs(y - at_y)) *
                static_cast<double>(image.bytes[static_cast<std::size_t>(at)]);
    }
  }
  return result;
}

Floats run_crop(Isa isa, const Image& image, const double (&matrix)[6], std::int64_t out_h,
                std::int64_t out_w, std::int64_t rows_at_once, bool mirrored = false) {
  Floats out(static_cast<std::size_t>(out_h * out_w * 3), kNan);
  for (std::int64_t row = 0; row < out_h; row += rows_at_once) {
    CropAffineArgs args = {image.bytes.data(),
                           image.h,
                           image.w,
                           image.stride,
                           {},
                           {2, 0, 1},
                           {1.0f, 0.5f, 2.0f},
                           {0.0f, 3.0f, -1.0f},
                           out.data() + row * out_w * 3,
                           out_w,
                           row,
                           std::min(row + rows_at_once, out_h),
                           mirrored};
    std::copy(std::begin(matrix), std::end(matrix), args.matrix);
    select_crop_affine(isa).run(args);
  }
  return out;
}

void expect_crop(Isa isa, const Image& image, const double (&matrix)[6], std::int64_t out_h,
                 std::int64_t out_w) {
  const int map[3] = {2, 0, 1};
  const double scale[3] = {1.0, 0.5, 2.0};
  const double shift[3] = {0.0, 3.0, -1.0};
  const Floats out = run_crop(isa, image, matrix, out_h, out_w, out_h);
  for (std::int64_t y = 0; y < out_h; ++y) {
    for (std::int64_t x = 0; x < out_w; ++x) {
      const double u = static_cast<double>(x);
      const double v = static_cast<double>(y);
      const double source_x = matrix[0] * u + matrix[1] * v + matrix[2];
      const double source_y = matrix[3] * u + matrix[4] * v + matrix[5];
      for (int c = 0; c < 3; ++c) {
        const double expected = sample(image, source_x, source_y, map[c]) * scale[c] + shift[c];
        const double actual =
            static_cast<double>(out[static_cast<std::size_t>((y * out_w + x) * 3 + c)]);
        EXPECT(std::abs(actual - expected) <= 1e-3, isa_name(isa), " image ", image.h, "x", image.w,
               " crop ", out_h, "x", out_w, " at ", x, ",", y, " channel ", c, ": ", actual,
               " for ", expected);
      }
    }
  }
  EXPECT(out == run_crop(isa, image, matrix, out_h, out_w, 3), isa_name(isa),
         ": the rows of a call must not change the bits");
  Floats mirrored = run_crop(isa, image, matrix, out_h, out_w, out_h, true);
  for (auto row = mirrored.begin(); row != mirrored.end(); row += 3 * out_w) {
    std::reverse(row, row + 3 * out_w);
    for (auto pixel = row; pixel != row + 3 * out_w; pixel += 3) std::swap(pixel[0], pixel[2]);
  }
  EXPECT(out == mirrored, isa_name(isa), ": a mirrored crop must hold the same bits");
}

LPN_TEST(crop_affine_matches_double) {
  std::mt19937 generator(4);
  std::uniform_real_distribution<double> place(-1.5, 1.5);
  std::uniform_real_distribution<double> zoom(0.2, 4.0);
  const std::int64_t sizes[][2] = {{1, 1}, {1, 6}, {6, 1}, {2, 2}, {3, 2}, {7, 5}, {33, 41}};
  for (const Isa isa : supported_isas()) {
    for (const auto& size : sizes) {
      for (const std::int64_t padding : {0, 5}) {
        const Image image = random_image(generator, size[0], size[1], padding);
        for (std::int64_t out_w = 1; out_w <= 20; ++out_w) {
          const double h = static_cast<double>(image.h);
          const double w = static_cast<double>(image.w);
          const double a = zoom(generator) * w / static_cast<double>(out_w);
          const double b = zoom(generator) * h / 6;
          const double x = place(generator) * w;
          const double y = place(generator) * h;
          expect_crop(isa, image, {a, 0, x, 0, b, y}, 6, out_w);
          expect_crop(isa, image, {-a, 0, w - x, 0, -b, h - y}, 6, out_w);
          expect_crop(isa, image, {a, 0.3, x, -0.2, b, y}, 6, out_w);
        }
        expect_crop(isa, image, {1, 0, 0, 0, 1, 0}, image.h, image.w);
        expect_crop(isa, image, {1, 0, -1, 0, 1, -1}, image.h + 2, image.w + 2);
        expect_crop(isa, image, {0.5, 0, -1, 0, 0.5, -1}, 2 * image.h + 4, 2 * image.w + 4);
      }
    }
    expect_crop(isa, random_image(generator, 31, 45, 7), {0.1, 0, -2, 0, 0.5, -1}, 9, 530);
    expect_crop(isa, random_image(generator, 31, 45, 7), {0.1, 0.2, -2, 0.01, 0.5, -1}, 9, 530);
  }
}

LPN_TEST(crop_affine_survives_any_finite_coordinate) {
  std::mt19937 generator(5);
  const Image image = random_image(generator, 9, 8, 0);
  for (const Isa isa : supported_isas()) {
    for (const double huge : {1e10, 1e19, 1e30, 1e300}) {
      for (const double sign : {1.0, -1.0}) {
        expect_crop(isa, image, {sign * huge, 0, 3, 0, sign * huge, 2}, 4, 18);
        expect_crop(isa, image, {1, 0, sign * huge, 0, 1, sign * huge}, 4, 18);
        expect_crop(isa, image, {1, sign * huge, 0, sign * huge, 1, 0}, 4, 18);
      }
    }
  }
}

LPN_TEST(crop_affine_has_the_same_bits_on_tiers_with_fma) {
  if (!contains(cpu_features(), Isa::kAvx512)) return;
  std::mt19937 generator(6);
  const Image image = random_image(generator, 50, 60, 0);
  const double aligned[6] = {1.37, 0, -3.3, 0, 1.37, 2.2};
  const double rotated[6] = {1.2, 0.4, -3.3, -0.4, 1.2, 12.2};
  EXPECT(run_crop(Isa::kAvx2, image, aligned, 37, 45, 37) ==
         run_crop(Isa::kAvx512, image, aligned, 37, 45, 37));
  EXPECT(run_crop(Isa::kAvx2, image, rotated, 37, 45, 37) ==
         run_crop(Isa::kAvx512, image, rotated, 37, 45, 37));
}

}  // namespace
}  // namespace lpn
