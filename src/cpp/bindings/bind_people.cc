// The people of an image: their boxes, and from these to their joints.
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/bindings.h"
#include "bindings/pose_input.h"
#include "bindings/run_batch.h"
#include "bindings/without_gil.h"
#include "engine/run/compiled_model.h"
#include "pose/estimate.h"
#include "pose/region.h"

namespace lpn::bindings {
namespace {

// Sources beyond this lose the fractions of a pixel in double and mean nothing in an image.
constexpr double kMaxCoordinate = 1e9;

// What is wrong with a box given as `row`, of which `xywh` was made; null if nothing is.
const char* find_fault(const double* row, std::int64_t columns, const double* xywh) {
  for (std::int64_t i = 0; i < columns; ++i)
    if (!(std::abs(row[i]) < kMaxCoordinate)) return "finite numbers within 1e+09";
  if (!(xywh[2] > 0 && xywh[3] > 0)) return "a positive width and height";
  if (columns == 5 && row[4] < 0) return "a score, the fifth number, of 0 or more";
  return nullptr;
}

std::string format_row(const double* row, std::int64_t columns) {
  return py::repr(py::cast(std::vector<double>(row, row + columns))).cast<std::string>();
}

py::tuple check_boxes(const py::array& array, const std::string& box_format) {
  LPN_CHECK(box_format == "xywh" || box_format == "xyxy", "box_format is '", box_format,
            "'; wanted 'xywh' or 'xyxy'");
  const Input<double> given = read<double>(array, "boxes", 2, "(N, 4), or (N, 5) with scores");
  const std::int64_t n = given[0];
  const std::int64_t columns = given[1];
  LPN_CHECK(columns == 4 || columns == 5, "boxes have shape ", format_shape(given.shape),
            "; wanted (N, 4), or (N, 5) with scores");
  py::array_t<double> boxes = make_array<double>("the result", {n, 4});
  py::array_t<double> scores = make_array<double>("the result", {n});
  double* xywh = boxes.mutable_data();
  double* score = scores.mutable_data();
  for (std::int64_t i = 0; i < n; ++i, xywh += 4) {
    const double* row = given.data + i * columns;
    for (int value = 0; value < 4; ++value) xywh[value] = row[value];
    if (box_format == "xyxy") {
      xywh[2] -= xywh[0];
      xywh[3] -= xywh[1];
    }
    score[i] = columns == 5 ? row[4] : 1.0;
    const char* fault = find_fault(row, columns, xywh);
    LPN_CHECK(fault == nullptr, "boxes[", i, "] is ", format_row(row, columns), " (", box_format,
              "); wanted ", fault);
  }
  return py::make_tuple(boxes, scores);
}

Input<double> read_xywh(const py::array& array) {
  Input<double> boxes = read<double>(array, "boxes", 2, "(N, 4)");
  LPN_CHECK(boxes[1] == 4, "boxes have shape ", format_shape(boxes.shape), "; wanted (N, 4)");
  return boxes;
}

py::tuple grow_boxes(const py::array& array, double aspect, double padding) {
  const Input<double> boxes = read_xywh(array);
  py::array_t<double> centers = make_array<double>("the result", {boxes[0], 2});
  py::array_t<double> sizes = make_array<double>("the result", {boxes[0], 2});
  double* center = centers.mutable_data();
  double* size = sizes.mutable_data();
  for (std::int64_t i = 0; i < boxes[0]; ++i) {
    const Region region = lpn::grow_box(boxes.data + 4 * i, aspect, padding);
    center[2 * i] = region.x;
    center[2 * i + 1] = region.y;
    size[2 * i] = region.w;
    size[2 * i + 1] = region.h;
  }
  return py::make_tuple(centers, sizes);
}

// Here, not in Python, whose own arithmetic follows the rounding mode of the thread.
py::tuple normalisation(const std::vector<double>& mean, const std::vector<double>& std) {
  LPN_CHECK(mean.size() == std.size(), "mean has ", mean.size(), " values and std ", std.size(),
            "; wanted as many");
  py::tuple scale(mean.size());
  py::tuple shift(mean.size());
  for (std::size_t c = 0; c < mean.size(); ++c) {
    const ByteScale of_byte = byte_scale(mean[c], std[c]);
    scale[c] = of_byte.scale;
    shift[c] = of_byte.shift;
  }
  return py::make_tuple(scale, shift);
}

// Boxes as check_boxes gives them, whose sizes may be those between two far corners: a copy, which
// nobody changes while the GIL is released.
std::vector<double> read_boxes(const py::array& array) {
  const Input<double> given = read_xywh(array);
  std::vector<double> boxes(given.data, given.data + 4 * given[0]);
  for (std::size_t i = 0; i < boxes.size(); i += 4) {
    const double* xywh = boxes.data() + i;
    const bool fits = std::all_of(
        xywh, xywh + 4, [](double value) { return std::abs(value) <= 2 * kMaxCoordinate; });
    LPN_CHECK(fits && xywh[2] > 0 && xywh[3] > 0, "boxes[", i / 4, "] is ", format_row(xywh, 4),
              "; wanted x, y, width and height within ", 2 * kMaxCoordinate, ", sizes above 0");
  }
  return boxes;
}

FlipOptions read_flip(const std::vector<int>& mirror_index, std::int64_t shift, const Shape& maps) {
  LPN_CHECK(static_cast<std::int64_t>(mirror_index.size()) == maps.c, "mirror_index has ",
            mirror_index.size(), " joints; the heatmaps have ", maps.c);
  for (const int joint : mirror_index)
    LPN_CHECK(joint >= 0 && joint < maps.c, "mirror_index holds ", joint, "; it takes 0 to ",
              maps.c - 1);
  LPN_CHECK(shift >= 0 && shift < maps.w, "shift is ", shift, "; wanted 0 to ", maps.w - 1,
            " for heatmaps ", maps.w, " wide");
  return {mirror_index.data(), shift};
}

py::tuple estimate_poses(CompiledModel& model, const py::array& image, const py::array& boxes_array,
                         std::int64_t height, std::int64_t width, double padding,
                         const std::vector<int>& channel_map, const std::vector<double>& scale,
                         const std::vector<double>& shift, std::optional<double> beta,
                         bool quarter_step, const std::optional<std::vector<int>>& mirror_index,
                         std::int64_t flip_shift) {
  LPN_CHECK(model.graph().input_channels() == 3, "the model takes ", model.graph().input_channels(),
            " channels; an image has 3");
  const Image picture = read_image(image);
  const std::vector<double> boxes = read_boxes(boxes_array);
  LPN_CHECK(padding > 0 && padding < kMaxCoordinate, "padding is ", padding,
            "; it must be above 0 and below ", kMaxCoordinate);
  check_pixels(model, scale, shift);
  EstimateOptions options{padding, read_normalisation(channel_map, scale, shift),
                          read_decode_options(beta, quarter_step)};
  const std::shared_ptr<PreparedPlan> plan = prepare(model, height, width);
  const Shape& maps = plan->plan().outputs().front();
  FlipOptions flip{};
  if (mirror_index) {
    flip = read_flip(*mirror_index, flip_shift, maps);
    options.flip = &flip;
  }
  const auto n = static_cast<std::int64_t>(boxes.size() / 4);
  py::array_t<float> coordinates = make_array<float>("the result", {n, maps.c, 2});
  py::array_t<float> scores = make_array<float>("the result", {n, maps.c});
  float* coordinates_data = coordinates.mutable_data();
  float* scores_data = scores.mutable_data();
  bool finished = false;
  {
    WithoutGil released;
    SignalCheck signals(released);
    finished = lpn::estimate_poses(model, *plan, picture, boxes.data(), n, options,
                                   coordinates_data, scores_data, std::ref(signals));
  }
  if (!finished) throw py::error_already_set();
  return py::make_tuple(coordinates, scores);
}

}  // namespace

void bind_people(py::module_& module) {
  using py::arg;
  module.def("check_boxes", &check_boxes, DefaultFloats(), arg("boxes").noconvert(),
             arg("box_format"));
  module.def("grow_boxes", &grow_boxes, DefaultFloats(), arg("boxes").noconvert(), arg("aspect"),
             arg("padding"));
  module.def("normalisation", &normalisation, DefaultFloats(), arg("mean"), arg("std"));
  module.def("estimate_poses", &estimate_poses, DefaultFloats(), arg("model"),
             arg("image").noconvert(), arg("boxes").noconvert(), arg("height"), arg("width"),
             arg("padding"), arg("channel_map"), arg("scale"), arg("shift"), arg("beta"),
             arg("quarter_step"), arg("mirror_index"), arg("flip_shift"));
}

}  // namespace lpn::bindings
