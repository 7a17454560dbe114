#include "pose/draw_lines.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>
#include <limits>

namespace lpn {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// Numbers from low to high; none where low > high.
struct Interval {
  double low, high;
};

// A line with what all pixels ask of it: its length and direction.
struct Stroke {
  explicit Stroke(const Line& l) : line(l) {
    const double across = l.x[1] - l.x[0];
    const double down = l.y[1] - l.y[0];
    length = std::sqrt(across * across + down * down);
    if (length > 0) {
      ux = across / length;
      uy = down / length;
    }
  }

  double distance(double x, double y) const {
    const double dx = x - line.x[0];
    const double dy = y - line.y[0];
    const double along = std::clamp(dx * ux + dy * uy, 0.0, length);
    const double px = dx - along * ux;
    const double py = dy - along * uy;
    return std::sqrt(px * px + py * py);
  }

  const Line& line;
  double length;
  double ux = 0, uy = 0;
};

// Those x of the interval for which slope * x + offset is in [low, high].
Interval narrow(Interval x, double slope, double offset, double low, double high) {
  if (slope == 0) return low <= offset && offset <= high ? x : Interval{kInfinity, -kInfinity};
  double first = (low - offset) / slope;
  double last = (high - offset) / slope;
  if (slope < 0) std::swap(first, last);
  return {std::max(x.low, first), std::min(x.high, last)};
}

// The x within `reach` of the segment on the row `y`: a line with round ends is convex.
Interval row_span(const Stroke& stroke, double y, double reach) {
  const Line& line = stroke.line;
  Interval span{kInfinity, -kInfinity};
  if (reach < 0) return span;
  const auto include = [&span](double low, double high) {
    if (low > high) return;
    span = {std::min(span.low, low), std::max(span.high, high)};
  };
  for (int end = 0; end < 2; ++end) {
    const double dy = y - line.y[end];
    if (std::abs(dy) > reach) continue;
    const double half = std::sqrt(reach * reach - dy * dy);
    include(line.x[end] - half, line.x[end] + half);
  }
  if (stroke.length > 0) {
    const double dy = y - line.y[0];
    Interval band{-kInfinity, kInfinity};
    band = narrow(band, stroke.uy, -dy * stroke.ux, -reach, reach);
    band = narrow(band, stroke.ux, dy * stroke.uy, 0, stroke.length);
    include(line.x[0] + band.low, line.x[0] + band.high);
  }
  return span;
}

// The integers in an interval, as [begin, end) within [0, size).
struct Range {
  std::int64_t begin, end;
};

Range integers_in(const Interval& interval, std::int64_t size) {
  const auto limit = static_cast<double>(size);
  const double begin = std::clamp(std::ceil(interval.low), 0.0, limit);
  const double end = std::clamp(std::floor(interval.high) + 1, begin, limit);
  return {static_cast<std::int64_t>(begin), static_cast<std::int64_t>(end)};
}

void blend(const Stroke& stroke, std::int64_t begin, std::int64_t end, std::int64_t y,
           std::uint8_t* row) {
  const Line& line = stroke.line;
  for (std::int64_t x = begin; x < end; ++x) {
    const double distance = stroke.distance(static_cast<double>(x), static_cast<double>(y));
    const double cover = std::clamp(line.radius + 0.5 - distance, 0.0, 1.0);
    for (int c = 0; c < 3; ++c) {
      std::uint8_t& p = row[3 * x + c];
      const auto value = static_cast<double>(p);
      p = static_cast<std::uint8_t>(value + (line.colour[c] - value) * cover + 0.5);
    }
  }
}

// A run of pixels of one colour, to be copied from: faster than pixel by pixel.
struct Run {
  static constexpr std::int64_t kPixels = 64;

  explicit Run(const std::uint8_t* colour) {
    for (std::int64_t i = 0; i < 3 * kPixels; ++i) bytes[i] = colour[i % 3];
  }

  void fill(std::int64_t begin, std::int64_t end, std::uint8_t* row) const {
    for (std::int64_t x = begin; x < end; x += kPixels)
      std::memcpy(row + 3 * x, bytes, static_cast<std::size_t>(3 * std::min(kPixels, end - x)));
  }

  std::uint8_t bytes[3 * kPixels];
};

}  // namespace

void draw_lines(std::uint8_t* pixels, std::int64_t h, std::int64_t w, const Line* lines,
                std::int64_t count) {
  for (std::int64_t i = 0; i < count; ++i) {
    assert(lines[i].radius >= 0);
    const Stroke stroke(lines[i]);
    const Run run(lines[i].colour);
    const double reach = lines[i].radius + 0.5;
    const auto [top, bottom] = std::minmax(lines[i].y[0], lines[i].y[1]);
    const Range rows = integers_in({top - reach, bottom + reach}, h);
    for (std::int64_t y = rows.begin; y < rows.end; ++y) {
      std::uint8_t* row = pixels + 3 * w * y;
      const auto centre = static_cast<double>(y);
      const Range touched = integers_in(row_span(stroke, centre, reach), w);
      // Of these the pixels that the line covers whole, which need no distance.
      Range whole = integers_in(row_span(stroke, centre, lines[i].radius - 0.5), w);
      if (whole.begin >= whole.end) whole = {touched.end, touched.end};
      blend(stroke, touched.begin, std::min(whole.begin, touched.end), y, row);
      run.fill(whole.begin, whole.end, row);
      blend(stroke, std::max(whole.end, touched.begin), touched.end, y, row);
    }
  }
}

}  // namespace lpn
