// Shapes of activations and of arrays.
#pragma once

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

namespace lpn {

// One image's activation map, (h, w, c) with c innermost.
struct Shape {
  std::int64_t h = 0, w = 0, c = 0;

  std::int64_t positions() const { return h * w; }
  std::int64_t size() const { return h * w * c; }
};

inline bool operator==(const Shape& a, const Shape& b) {
  return a.h == b.h && a.w == b.w && a.c == b.c;
}
inline std::ostream& operator<<(std::ostream& out, const Shape& shape) {
  return out << '(' << shape.h << ", " << shape.w << ", " << shape.c << ')';
}

// The product of `factors`, all >= 0; throws std::invalid_argument naming `what` when it exceeds
// 2^40 (4 TiB of floats).
std::int64_t checked_size(const char* what, const std::vector<std::int64_t>& factors);

// "(2, 3)", as Python prints it.
std::string format_shape(const std::vector<std::int64_t>& shape);

}  // namespace lpn
