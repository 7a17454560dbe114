// Windows that slide over a map along one axis, and the part of one that lies inside.
#pragma once

#include <stdint.h>

namespace lpn {
namespace {

// Taps [tap, tap + count) of a window lie inside the map, from input position `input` on; all zero
// when none does, so that what is computed from them stays inside, too.
struct WindowTaps {
  int64_t tap, input, count;
};

inline WindowTaps taps_inside(int64_t window, int64_t kernel, int64_t stride, int64_t padding,
                              int64_t extent) {
  const int64_t first = window * stride - padding;
  const int64_t begin = first < 0 ? -first : 0;
  const int64_t end = extent - first < kernel ? extent - first : kernel;
  return begin < end ? WindowTaps{begin, first + begin, end - begin} : WindowTaps{0, 0, 0};
}

// Whether windows [begin, end) exist on an axis of `extent`. For assertions.
inline bool windows_exist(int64_t begin, int64_t end, int64_t kernel, int64_t stride,
                          int64_t padding, int64_t extent) {
  return extent >= 1 && kernel >= 1 && stride >= 1 && padding >= 0 && 0 <= begin && begin <= end &&
         (begin == end || (end - 1) * stride + kernel <= extent + 2 * padding);
}

}  // namespace
}  // namespace lpn
