#include "bindings/pose_input.h"

#include <algorithm>
#include <cmath>

namespace lpn::bindings {
namespace {

template <class From, class To>
void read_values(const char* name, const std::vector<From>& values, To (&out)[3]) {
  LPN_CHECK(values.size() == 3, name, " has ", values.size(), " values; it needs 3");
  std::transform(values.begin(), values.end(), out,
                 [](From value) { return static_cast<To>(value); });
}

}  // namespace

Image read_image(const py::array& image) {
  check_dtype<std::uint8_t>(image, "image");
  const std::vector<std::int64_t> shape = shape_of(image);
  LPN_CHECK(shape.size() == 3 && shape[2] == 3 && shape[0] >= 1 && shape[1] >= 1,
            "image has shape ", format_shape(shape),
            "; it must be (H, W, 3) with H and W at least 1");
  LPN_CHECK(image.strides(2) == 1 && (image.strides(1) == 3 || shape[1] == 1) &&
                (image.strides(0) >= 3 * shape[1] || shape[0] == 1),
            "image of shape ", format_shape(shape), " has strides (", image.strides(0), ", ",
            image.strides(1), ", ", image.strides(2),
            "); pixels must be contiguous, (at least 3 W, 3, 1): pass numpy.ascontiguousarray(...) "
            "of it");
  return {static_cast<const std::uint8_t*>(image.data()), shape[0], shape[1],
          shape[0] == 1 ? 3 * shape[1] : image.strides(0)};
}

Normalisation read_normalisation(const std::vector<int>& channel_map,
                                 const std::vector<double>& scale,
                                 const std::vector<double>& shift) {
  Normalisation values{};
  read_values("channel_map", channel_map, values.channel_map);
  read_values("scale", scale, values.scale);
  read_values("shift", shift, values.shift);
  for (int c = 0; c < 3; ++c) {
    LPN_CHECK(values.channel_map[c] >= 0 && values.channel_map[c] < 3, "channel_map holds ",
              values.channel_map[c], "; it takes 0, 1 and 2");
    LPN_CHECK(std::isfinite(values.scale[c]) && std::isfinite(values.shift[c]),
              "scale and shift of channel ", c, " are ", values.scale[c], " and ", values.shift[c],
              "; both must be finite");
  }
  return values;
}

DecodeOptions read_decode_options(std::optional<double> beta, bool quarter_step) {
  if (!beta) return {std::nullopt, quarter_step};
  const auto sharpness = static_cast<float>(*beta);
  LPN_CHECK(std::isfinite(sharpness) && sharpness > 0, "beta is ", *beta,
            "; it must be finite and greater than 0");
  return {sharpness, quarter_step};
}

}  // namespace lpn::bindings
