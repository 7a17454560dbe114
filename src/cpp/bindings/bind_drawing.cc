// Lines onto pictures.
#include <cmath>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/bindings.h"
#include "bindings/without_gil.h"
#include "pose/draw_lines.h"

namespace lpn::bindings {
namespace {

// Squares and their sums stay finite.
constexpr double kMaxCoordinate = 1e100;

void draw_lines(py::array image, const py::array& ends_array, const py::array& radii_array,
                const py::array& colours_array) {
  const Input<std::uint8_t> picture = read<std::uint8_t>(image, "image", 3, "(H, W, 3)");
  LPN_CHECK(picture[2] == 3, "image has shape ", format_shape(picture.shape),
            "; it must be (H, W, 3)");
  LPN_CHECK(image.writeable(), "image cannot be written to; pass a copy of it");
  const Input<double> ends = read<double>(ends_array, "ends", 3, "(N, 2, 2)");
  const std::int64_t n = ends[0];
  LPN_CHECK(ends[1] == 2 && ends[2] == 2, "ends has shape ", format_shape(ends.shape),
            "; it must be (N, 2, 2)");
  const Input<double> radii = read<double>(radii_array, "radii", {n});
  const Input<std::uint8_t> colours = read<std::uint8_t>(colours_array, "colours", {n, 3});
  std::vector<Line> lines;
  for (std::int64_t i = 0; i < n; ++i) {
    const double* end = ends.data + 4 * i;
    for (int value = 0; value < 4; ++value) {
      LPN_CHECK(std::abs(end[value]) < kMaxCoordinate, "ends[", i, "] holds ", end[value],
                "; every number must be finite and below ", kMaxCoordinate);
    }
    const double radius = radii.data[i];
    LPN_CHECK(radius >= 0 && radius < kMaxCoordinate, "radii[", i, "] is ", radius,
              "; it must be 0 or more and below ", kMaxCoordinate);
    const std::uint8_t* colour = colours.data + 3 * i;
    lines.push_back(
        {{end[0], end[2]}, {end[1], end[3]}, radius, {colour[0], colour[1], colour[2]}});
  }
  auto* pixels = static_cast<std::uint8_t*>(image.mutable_data());
  const WithoutGil released;
  lpn::draw_lines(pixels, picture[0], picture[1], lines.data(), n);
}

}  // namespace

void bind_drawing(py::module_& module) {
  using py::arg;
  module.def("draw_lines", &draw_lines, arg("image").noconvert(), arg("ends").noconvert(),
             arg("radii").noconvert(), arg("colours").noconvert(), DefaultFloats());
}

}  // namespace lpn::bindings
