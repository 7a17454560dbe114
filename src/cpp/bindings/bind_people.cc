// The people of an image on their way through a model: boxes, regions, heatmaps, joints.
#include <pybind11/stl.h>

#include <cmath>
#include <optional>

#include "bindings/arrays.h"
#include "bindings/bindings.h"
#include "bindings/crop_input.h"
#include "bindings/decoder.h"
#include "bindings/run_batch.h"
#include "bindings/without_gil.h"
#include "engine/heatmaps.h"
#include "engine/region.h"
#include "engine/run/compiled_model.h"

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
    LPN_CHECK(fault == nullptr, "boxes[", i, "] is ",
              py::repr(py::cast(std::vector<double>(row, row + columns))).cast<std::string>(), " (",
              box_format, "); wanted ", fault);
  }
  return py::make_tuple(boxes, scores);
}

py::tuple grow_boxes(const py::array& array, double aspect, double padding) {
  const Input<double> boxes = read<double>(array, "boxes", 2, "(N, 4)");
  LPN_CHECK(boxes[1] == 4, "boxes have shape ", format_shape(boxes.shape), "; wanted (N, 4)");
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

// A byte v is worth v * scale + shift of (v / 255 - mean) / std. Here, not in Python, whose own
// arithmetic follows the rounding mode of the thread.
py::tuple normalisation(const std::vector<double>& mean, const std::vector<double>& std) {
  LPN_CHECK(mean.size() == std.size(), "mean has ", mean.size(), " values and std ", std.size(),
            "; wanted as many");
  py::tuple scale(mean.size());
  py::tuple shift(mean.size());
  for (std::size_t c = 0; c < mean.size(); ++c) {
    scale[c] = 1.0 / (255.0 * std[c]);
    shift[c] = -mean[c] / std[c];
  }
  return py::make_tuple(scale, shift);
}

std::vector<Region> read_regions(const py::array& centers_array, const py::array& sizes_array) {
  const Input<double> centers = read<double>(centers_array, "centers", 2, "(N, 2)");
  LPN_CHECK(centers[1] == 2, "centers has shape ", format_shape(centers.shape), "; wanted (N, 2)");
  const Input<double> sizes = read<double>(sizes_array, "sizes", centers.shape);
  std::vector<Region> regions;
  for (std::int64_t i = 0; i < centers[0]; ++i) {
    const double* center = centers.data + 2 * i;
    const double* size = sizes.data + 2 * i;
    LPN_CHECK(std::isfinite(center[0]) && std::isfinite(center[1]) && std::isfinite(size[0]) &&
                  std::isfinite(size[1]),
              "region ", i, " has its centre at (", center[0], ", ", center[1], ") and a size of (",
              size[0], ", ", size[1], "); every number must be finite");
    regions.push_back({center[0], center[1], size[0], size[1]});
  }
  return regions;
}

py::array_t<float> run_regions(CompiledModel& model, const py::array& image,
                               const py::array& centers, const py::array& sizes,
                               std::int64_t height, std::int64_t width,
                               const std::vector<int>& channel_map,
                               const std::vector<double>& scale, const std::vector<double>& shift,
                               bool mirrored_too) {
  LPN_CHECK(model.graph().input_channels() == 3, "the model takes ", model.graph().input_channels(),
            " channels; an image has 3");
  CropAffineArgs shared = read_crop_input(image, channel_map, scale, shift);
  shared.out_w = width;
  const std::vector<Region> regions = read_regions(centers, sizes);
  const auto n = static_cast<std::int64_t>(regions.size());
  const CropAffineFn crop = select_crop_affine(model.isa()).run;
  Batch batch;
  batch.n = mirrored_too ? 2 * n : n;
  batch.fill = [&](std::int64_t entry, std::int64_t begin, std::int64_t end, float* rows) {
    CropAffineArgs args = shared;
    const Region& region = regions[static_cast<std::size_t>(entry % n)];
    raster_to_image(region, static_cast<double>(height), static_cast<double>(width), args.matrix);
    args.mirrored = entry >= n;
    args.row_begin = begin;
    args.row_end = end;
    args.out = rows;
    crop(args);
  };
  return run_batch(model, height, width, batch);
}

py::tuple find_joints(CompiledModel& model, const py::array& heatmaps, const py::array& centers,
                      const py::array& sizes, std::optional<double> beta, bool quarter_step,
                      const std::optional<std::vector<int>>& mirror_index,
                      std::int64_t flip_shift) {
  const Input<float> input = read_map(heatmaps, "heatmaps");
  const std::vector<Region> regions = read_regions(centers, sizes);
  const auto n = static_cast<std::int64_t>(regions.size());
  const Heatmaps maps{input.data, true, n, input[3], input[1], input[2]};
  LPN_CHECK(input[0] == (mirror_index ? 2 * n : n), "heatmaps has shape ",
            format_shape(input.shape), "; for ", n, " regions",
            mirror_index ? " and their mirror images" : "", " it must hold ",
            mirror_index ? 2 * n : n);
  FlipTest flip{};
  if (mirror_index) {
    LPN_CHECK(static_cast<std::int64_t>(mirror_index->size()) == maps.k, "mirror_index has ",
              mirror_index->size(), " joints; the heatmaps have ", maps.k);
    for (const int joint : *mirror_index)
      LPN_CHECK(joint >= 0 && joint < maps.k, "mirror_index holds ", joint, "; it takes 0 to ",
                maps.k - 1);
    LPN_CHECK(flip_shift >= 0 && flip_shift < maps.w, "shift is ", flip_shift, "; wanted 0 to ",
              maps.w - 1, " for heatmaps ", maps.w, " wide");
    flip = {maps.data + n * maps.h * maps.w * maps.k, mirror_index->data(), flip_shift};
  }
  const HeatmapDecoder decode = make_decoder(model.isa(), maps, beta, quarter_step);
  py::array_t<float> coordinates = make_array<float>("the result", {n, maps.k, 2});
  py::array_t<float> scores = make_array<float>("the result", {n, maps.k});
  float* coordinate = coordinates.mutable_data();
  float* score = scores.mutable_data();
  {
    const WithoutGil released;
    decode_heatmaps(maps, mirror_index ? &flip : nullptr, model.pool(), decode, coordinate, score);
    for (const Region& region : regions) {
      for (std::int64_t joint = 0; joint < maps.k; ++joint, coordinate += 2)
        move_to_image(region, static_cast<double>(maps.h), static_cast<double>(maps.w), coordinate);
    }
  }
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
  module.def("run_regions", &run_regions, DefaultFloats(), arg("model"), arg("image").noconvert(),
             arg("centers").noconvert(), arg("sizes").noconvert(), arg("height"), arg("width"),
             arg("channel_map"), arg("scale"), arg("shift"), arg("mirrored_too"));
  module.def("find_joints", &find_joints, DefaultFloats(), arg("model"),
             arg("heatmaps").noconvert(), arg("centers").noconvert(), arg("sizes").noconvert(),
             arg("beta"), arg("quarter_step"), arg("mirror_index"), arg("flip_shift"));
}

}  // namespace lpn::bindings
