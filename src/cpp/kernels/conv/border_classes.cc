#include "kernels/conv/border_classes.h"

#include <algorithm>
#include <cstddef>
#include <limits>

#include "kernels/window-inl.h"

namespace lpn {

BorderClasses conv_border_classes(std::int64_t extent, std::int64_t kernel, std::int64_t stride,
                                  std::int64_t padding) {
  BorderClasses classes;
  const std::int64_t windows = (extent + 2 * padding - kernel) / stride + 1;
  for (std::int64_t window = 0; window < windows; ++window) {
    const WindowTaps inside = taps_inside(window, kernel, stride, padding, extent);
    const auto same = [&](const BorderClasses::Taps& taps) {
      return taps.begin == inside.tap && taps.end == inside.tap + inside.count;
    };
    const auto found = std::find_if(classes.taps.begin(), classes.taps.end(), same);
    const std::ptrdiff_t index = found - classes.taps.begin();
    if (index > std::numeric_limits<std::uint8_t>::max()) return {};
    if (found == classes.taps.end())
      classes.taps.push_back({inside.tap, inside.tap + inside.count});
    classes.of_window.push_back(static_cast<std::uint8_t>(index));
  }
  return classes;
}

}  // namespace lpn
