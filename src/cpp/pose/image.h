// A photograph's pixels.
#pragma once

#include <cstdint>

namespace lpn {

// (h, w, 3), at least one pixel, which belong to the caller: rows `row_stride` bytes apart, at
// least 3 w, pixels one after the other. Nothing outside of them is read.
struct Image {
  const std::uint8_t* pixels;
  std::int64_t h, w, row_stride;
};

}  // namespace lpn
