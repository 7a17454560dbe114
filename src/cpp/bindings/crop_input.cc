#include "bindings/crop_input.h"

#include <algorithm>
#include <cmath>

namespace lpn::bindings {
namespace {

void read_image(const py::array& array, CropAffineArgs& args) {
  check_dtype<std::uint8_t>(array, "image");
  const std::vector<std::int64_t> shape = shape_of(array);
  LPN_CHECK(shape.size() == 3 && shape[2] == 3 && shape[0] >= 1 && shape[1] >= 1,
            "image has shape ", format_shape(shape),
            "; it must be (H, W, 3) with H and W at least 1");
  LPN_CHECK(array.strides(2) == 1 && (array.strides(1) == 3 || shape[1] == 1) &&
                (array.strides(0) >= 3 * shape[1] || shape[0] == 1),
            "image of shape ", format_shape(shape), " has strides (", array.strides(0), ", ",
            array.strides(1), ", ", array.strides(2),
            "); pixels must be contiguous, (at least 3 W, 3, 1): pass numpy.ascontiguousarray(...) "
            "of it");
  args.image = static_cast<const std::uint8_t*>(array.data());
  args.image_h = shape[0];
  args.image_w = shape[1];
  args.row_stride = shape[0] == 1 ? 3 * shape[1] : array.strides(0);
}

template <class From, class To>
void read_values(const char* name, const std::vector<From>& values, To (&out)[3]) {
  LPN_CHECK(values.size() == 3, name, " has ", values.size(), " values; it needs 3");
  std::transform(values.begin(), values.end(), out,
                 [](From value) { return static_cast<To>(value); });
}

}  // namespace

CropAffineArgs read_crop_input(const py::array& image, const std::vector<int>& channel_map,
                               const std::vector<double>& scale, const std::vector<double>& shift) {
  CropAffineArgs args{};
  read_image(image, args);
  read_values("channel_map", channel_map, args.channel_map);
  read_values("scale", scale, args.scale);
  read_values("shift", shift, args.shift);
  for (int c = 0; c < 3; ++c) {
    LPN_CHECK(args.channel_map[c] >= 0 && args.channel_map[c] < 3, "channel_map holds ",
              args.channel_map[c], "; it takes 0, 1 and 2");
    LPN_CHECK(std::isfinite(args.scale[c]) && std::isfinite(args.shift[c]),
              "scale and shift of channel ", c, " are ", args.scale[c], " and ", args.shift[c],
              "; both must be finite");
  }
  return args;
}

}  // namespace lpn::bindings
