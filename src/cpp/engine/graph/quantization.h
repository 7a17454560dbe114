// What the bytes of quantized maps, and of pixels, stand for.
#pragma once

#include <cstdint>
#include <vector>

namespace lpn {

// A byte q is the number scale * (q - zero_point).
struct Quantization {
  float scale;              // > 0, finite
  std::int32_t zero_point;  // 0 to 255
};

inline bool operator==(const Quantization& a, const Quantization& b) {
  return a.scale == b.scale && a.zero_point == b.zero_point;
}

// How bytes of (h, w, 3) pixels become a network's input: channel c is p[channel_map[c]] * scale[c]
// + shift[c] of a pixel p.
struct PixelInput {
  std::vector<int> channel_map;  // 0 to 2
  std::vector<double> scale, shift;
};

}  // namespace lpn
