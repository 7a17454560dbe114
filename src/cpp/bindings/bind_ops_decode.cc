// Heatmaps to coordinates as functions of arrays.
#include <pybind11/stl.h>

#include <optional>

#include "base/cpu_features.h"
#include "base/thread_pool.h"
#include "bindings/arrays.h"
#include "bindings/bindings.h"
#include "bindings/pose_input.h"
#include "bindings/without_gil.h"
#include "pose/heatmaps.h"

namespace lpn::bindings {
namespace {

Heatmaps read_heatmaps(const py::array& array, const std::string& layout) {
  LPN_CHECK(layout == "nchw" || layout == "nhwc", "layout is \"", layout,
            "\"; it must be \"nchw\" (N, K, H, W) or \"nhwc\" (N, H, W, K)");
  const bool channels_last = layout == "nhwc";
  const Input<float> maps =
      read<float>(array, "heatmaps", 4, channels_last ? "(N, H, W, K)" : "(N, K, H, W)");
  Heatmaps heatmaps{maps.data, channels_last, maps[0], maps[1], maps[2], maps[3]};
  if (channels_last) heatmaps = {maps.data, channels_last, maps[0], maps[3], maps[1], maps[2]};
  LPN_CHECK(heatmaps.k >= 1 && heatmaps.h >= 1 && heatmaps.w >= 1, "heatmaps has shape ",
            format_shape(maps.shape), "; H, W and K must be at least 1");
  return heatmaps;
}

py::tuple decode(const py::array& heatmaps, const std::string& layout, const DecodeOptions& options,
                 Isa isa) {
  const Heatmaps maps = read_heatmaps(heatmaps, layout);
  py::array_t<float> coordinates = make_array<float>("the result", {maps.n, maps.k, 2});
  py::array_t<float> scores = make_array<float>("the result", {maps.n, maps.k});
  float* coordinates_data = coordinates.mutable_data();
  float* scores_data = scores.mutable_data();
  {
    const WithoutGil released;
    ThreadPool alone(1);
    decode_heatmaps(maps, nullptr, options, isa, alone, coordinates_data, scores_data);
  }
  return py::make_tuple(coordinates, scores);
}

py::tuple soft_argmax(const py::array& heatmaps, const std::string& layout, double beta,
                      bool quarter_step, const std::string& isa) {
  return decode(heatmaps, layout, read_decode_options(beta, quarter_step), parse_isa(isa));
}

py::tuple argmax(const py::array& heatmaps, const std::string& layout, bool quarter_step,
                 const std::string& isa) {
  return decode(heatmaps, layout, read_decode_options(std::nullopt, quarter_step), parse_isa(isa));
}

}  // namespace

void bind_ops_decode(py::module_& module) {
  using py::arg;
  module.def("soft_argmax", &soft_argmax, DefaultFloats(), arg("heatmaps").noconvert(),
             arg("layout"), arg("beta"), arg("quarter_step"), arg("isa"));
  module.def("argmax", &argmax, DefaultFloats(), arg("heatmaps").noconvert(), arg("layout"),
             arg("quarter_step"), arg("isa"));
}

}  // namespace lpn::bindings
