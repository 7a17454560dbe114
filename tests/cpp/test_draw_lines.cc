// Lines on pictures: spans and runs against every pixel by itself.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstdlib>
#include <random>
#include <vector>

#include "pose/draw_lines.h"
#include "test.h"

namespace lpn {
namespace {

using Pixels =
    std::vector<std::uint8_t>;  // exactly sized, so that AddressSanitizer sees any overrun

// The contract, in long double.
void paint(Pixels& pixels, std::int64_t h, std::int64_t w, const Line& line) {
  const long double across = line.x[1] - line.x[0];
  const long double down = line.y[1] - line.y[0];
  const long double squared = across * across + down * down;
  for (std::int64_t y = 0; y < h; ++y) {
    for (std::int64_t x = 0; x < w; ++x) {
      const long double dx = static_cast<long double>(x) - line.x[0];
      const long double dy = static_cast<long double>(y) - line.y[0];
      const long double part =
          squared > 0 ? std::clamp((dx * across + dy * down) / squared, 0.0L, 1.0L) : 0.0L;
      const long double distance = std::hypot(dx - part * across, dy - part * down);
      const long double cover = std::clamp(line.radius + 0.5L - distance, 0.0L, 1.0L);
      for (std::int64_t c = 0; c < 3; ++c) {
        std::uint8_t& p = pixels[static_cast<std::size_t>(3 * (y * w + x) + c)];
        p = static_cast<std::uint8_t>(p + (line.colour[c] - p) * cover + 0.5L);
      }
    }
  }
}

Pixels random_pixels(std::mt19937& generator, std::int64_t h, std::int64_t w) {
  std::uniform_int_distribution<int> grey(0, 255);
  Pixels pixels(static_cast<std::size_t>(3 * h * w));
  for (std::uint8_t& p : pixels) p = static_cast<std::uint8_t>(grey(generator));
  return pixels;
}

}  // namespace

LPN_TEST(draw_lines_paints_what_every_pixel_says) {
  std::mt19937 generator(1);
  for (int round = 0; round < 200; ++round) {
    const std::int64_t h = 1 + round % 23;
    const std::int64_t w = 1 + round % 71;
    Pixels pixels = random_pixels(generator, h, w);
    Pixels expected = pixels;
    // Within the picture and far beyond it; slanted, level, upright, and dots.
    std::uniform_real_distribution<double> place(-20, 90);
    std::uniform_real_distribution<double> size(0, round % 4 == 0 ? 90 : 6);
    Line line{{place(generator), place(generator)},
              {place(generator), place(generator)},
              size(generator),
              {200, 10, static_cast<std::uint8_t>(round)}};
    if (round % 5 == 1) line.y[1] = line.y[0];
    if (round % 5 == 2) line.x[1] = line.x[0];
    if (round % 10 == 3) line.x[1] = line.x[0], line.y[1] = line.y[0];
    if (round % 7 == 3) line.radius = std::floor(line.radius);
    draw_lines(pixels.data(), h, w, &line, 1);
    paint(expected, h, w, line);
    for (std::size_t i = 0; i < pixels.size(); ++i) {
      // A half, rounded either way.
      EXPECT(std::abs(pixels[i] - expected[i]) <= 1, "round ", round, ", value ", i, ": ",
             int{pixels[i]}, ", expected ", int{expected[i]});
    }
  }
}

LPN_TEST(draw_lines_covers_earlier_lines_with_later_ones) {
  Pixels pixels(3 * 9 * 9, 0);
  const Line lines[] = {{{1, 7}, {4, 4}, 2, {9, 9, 9}}, {{4, 4}, {1, 7}, 1.5, {5, 6, 7}}};
  draw_lines(pixels.data(), 9, 9, lines, 2);
  const auto at = [&](std::size_t y, std::size_t x) { return int{pixels[3 * (9 * y + x)]}; };
  EXPECT(at(4, 4) == 5 && at(1, 4) == 5 && at(4, 1) == 9 && at(0, 0) == 0, at(4, 4), " ", at(1, 4),
         " ", at(4, 1), " ", at(0, 0));
}

LPN_TEST(draw_lines_takes_ends_far_away) {
  for (const double far : {1e9, 1e38, 9e99}) {
    Pixels pixels(3 * 7 * 5, 0);
    const Line lines[] = {{{-far, far}, {3, 3}, 1, {255, 255, 255}},
                          {{-far, far}, {-far, -far}, 1, {9, 9, 9}},
                          {{far, far}, {-far, far}, 1, {9, 9, 9}},
                          {{far, far}, {far, far}, 1, {9, 9, 9}}};
    draw_lines(pixels.data(), 7, 5, lines, 4);
    EXPECT(pixels[3 * (3 * 5 + 2)] == 255 && pixels[0] == 0, far);
  }
}

}  // namespace lpn
