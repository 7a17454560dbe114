// Affine crops of an image as a function of arrays.
#include <pybind11/stl.h>

#include <algorithm>
#include <cmath>

#include "base/cpu_features.h"
#include "base/thread_pool.h"
#include "bindings/arrays.h"
#include "bindings/bindings.h"
#include "bindings/pose_input.h"
#include "bindings/without_gil.h"
#include "pose/crop.h"

namespace lpn::bindings {
namespace {

py::array_t<float> crop_affine(const py::array& image, const py::array& matrices_array,
                               std::int64_t height, std::int64_t width,
                               const std::vector<int>& channel_map,
                               const std::vector<double>& scale, const std::vector<double>& shift,
                               const std::string& isa_name, int threads) {
  constexpr std::int64_t kMaxSide = 1 << 20;
  const Isa isa = parse_isa(isa_name);
  const Image picture = read_image(image);
  const Normalisation normalisation = read_normalisation(channel_map, scale, shift);
  const Input<double> matrices = read<double>(matrices_array, "matrices", 3, "(N, 2, 3)");
  LPN_CHECK(matrices[1] == 2 && matrices[2] == 3, "matrices has shape ",
            format_shape(matrices.shape), "; it must be (N, 2, 3)");
  LPN_CHECK(height >= 1 && width >= 1 && height <= kMaxSide && width <= kMaxSide,
            "the crop's height and width are ", height, " and ", width, "; both must be from 1 to ",
            kMaxSide);
  LPN_CHECK(threads >= 0, "threads is ", threads,
            "; it must be at least 1, or 0 for as many as this process may use");
  const std::int64_t n = matrices[0];
  for (std::int64_t i = 0; i < 6 * n; ++i) {
    LPN_CHECK(std::isfinite(matrices.data[i]), "matrices[", i / 6, "] holds ", matrices.data[i],
              "; every element must be finite");
  }
  py::array_t<float> out = make_array<float>("the result", {n, height, width, 3});
  float* out_data = out.mutable_data();

  const WithoutGil released;
  // More threads than CPUs would only be more threads; to count them takes the time of a few rows.
  const int most = threads == 1 ? 1 : default_threads();
  ThreadPool pool(threads == 0 ? most : std::min(threads, most));
  crop_images(picture, normalisation, matrices.data, n, height, width, isa, pool, out_data);
  return out;
}

}  // namespace

void bind_ops_crop(py::module_& module) {
  using py::arg;
  module.def("crop_affine", &crop_affine, DefaultFloats(), arg("image").noconvert(),
             arg("matrices").noconvert(), arg("height"), arg("width"), arg("channel_map"),
             arg("scale"), arg("shift"), arg("isa"), arg("threads"));
}

}  // namespace lpn::bindings
