// Which taps of a convolution's windows lie inside the map, for biases that depend on it.
#pragma once

#include <cstdint>
#include <vector>

namespace lpn {

// The windows of one axis, classed by their taps inside the map, in order of appearance.
struct BorderClasses {
  struct Taps {
    std::int64_t begin, end;  // [begin, end); equal where none is inside
  };
  std::vector<std::uint8_t> of_window;
  std::vector<Taps> taps;  // of each class
};

// Empty where there are more classes than a byte tells apart.
BorderClasses conv_border_classes(std::int64_t extent, std::int64_t kernel, std::int64_t stride,
                                  std::int64_t padding);

}  // namespace lpn
