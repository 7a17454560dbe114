// Lines painted onto a picture.
#pragma once

#include <cstdint>

namespace lpn {

// A straight line with round ends; a dot where the two are one point. Coordinates are finite and
// small enough for their squares to be (below 1e100), `radius` is 0 or more.
struct Line {
  double x[2], y[2];
  double radius;
  std::uint8_t colour[3];
};

// For one line after the other, so that later ones cover earlier ones:
//
//   p[y,x] = p[y,x] + (colour - p[y,x]) * clamp(radius + 1/2 - distance, 0, 1), rounded to nearest,
//
// with the distance of the pixel's centre, which is at integers, from the segment between the ends:
// edges are a pixel wide. pixels: (h, w, 3), channels in the colours' order.
void draw_lines(std::uint8_t* pixels, std::int64_t h, std::int64_t w, const Line* lines,
                std::int64_t count);

}  // namespace lpn
