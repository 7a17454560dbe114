// The CPU's limit, and the kernel that measures it.
#include <pybind11/stl.h>

#include <cmath>
#include <cstdint>
#include <string>
#include <type_traits>

#include "base/cpu_features.h"
#include "bindings/arrays.h"
#include "bindings/bindings.h"
#include "bindings/without_gil.h"
#include "engine/run/profile.h"
#include "kernels/fma_peak/fma_peak.h"

namespace lpn::bindings {
namespace {

DType parse_factors(const std::string& dtype) {
  if (dtype == "bfloat16") return DType::kBf16;
  if (dtype == "int8") return DType::kU8;
  LPN_CHECK(dtype == "float32", "dtype \"", dtype,
            "\" is not known; give float32, bfloat16 or int8");
  return DType::kF32;
}

template <class T>
py::array_t<float> run_chains(const py::array& x, double factor, double addend, std::int64_t steps,
                              const std::string& isa) {
  const Input<float> input = read<float>(x, "x", {kFmaPeakValues});
  FmaPeakArgs<T> args{};
  args.factor = static_cast<float>(factor);
  args.addend = static_cast<float>(addend);
  LPN_CHECK(args.factor > 0.0f && args.factor < 1.0f, "factor is ", factor,
            "; it must lie between 0 and 1, so that values stay finite");
  LPN_CHECK(std::isfinite(args.addend), "addend is ", addend, "; it must be finite");
  LPN_CHECK(steps >= 0, "steps is ", steps, "; it must be at least 0");
  if constexpr (std::is_same_v<T, std::uint8_t>) {
    LPN_CHECK(steps <= kFmaPeakByteSteps, "steps is ", steps, "; of int8 it must be at most ",
              kFmaPeakByteSteps, ", so that sums fit 32 bits");
    for (int i = 0; i < kFmaPeakValues; ++i) {
      LPN_CHECK(std::fabs(input.data[i]) <= kFmaPeakByteRange, "x[", i, "] is ", input.data[i],
                "; of int8 it must lie between -2^30 and 2^30");
    }
  }
  const FmaPeakFn<T> run = select_fma_peak<T>(parse_isa(isa)).run;
  py::array_t<float> out = make_array<float>("the result", {kFmaPeakValues});
  args.x = input.data;
  args.steps = steps;
  args.out = out.mutable_data();
  const WithoutGil released;
  run(args);
  return out;
}

py::array_t<float> run_fma_peak(const py::array& x, double factor, double addend,
                                std::int64_t steps, const std::string& isa,
                                const std::string& dtype) {
  return with_any_elements(parse_factors(dtype), [&](auto zero) {
    return run_chains<decltype(zero)>(x, factor, addend, steps, isa);
  });
}

double measure_peak(const std::string& isa, int threads, double seconds, const std::string& dtype) {
  constexpr double kMaxSeconds = 60;
  LPN_CHECK(threads >= 0, "threads is ", threads,
            "; it must be at least 1, or 0 for as many as this process may use");
  LPN_CHECK(seconds > 0 && seconds <= kMaxSeconds, "seconds is ", seconds,
            "; it must be above 0 and at most ", kMaxSeconds);
  const Isa tier = parse_isa(isa);
  const DType factors = parse_factors(dtype);
  const WithoutGil released;
  return peak_gflops(tier, threads == 0 ? default_threads() : threads, seconds, factors);
}

double measure_loop(int threads, std::int64_t chunks, std::int64_t steps, double seconds) {
  constexpr double kMaxSeconds = 60;
  LPN_CHECK(threads >= 1, "threads is ", threads, "; it must be at least 1");
  LPN_CHECK(chunks >= 1, "chunks is ", chunks, "; it must be at least 1");
  LPN_CHECK(steps >= 0, "steps is ", steps, "; it must be at least 0");
  LPN_CHECK(seconds > 0 && seconds <= kMaxSeconds, "seconds is ", seconds,
            "; it must be above 0 and at most ", kMaxSeconds);
  const WithoutGil released;
  return loop_seconds(threads, chunks, steps, seconds);
}

}  // namespace

void bind_profile(py::module_& module) {
  module.def("fma_peak", &run_fma_peak, DefaultFloats(), py::arg("x").noconvert(),
             py::arg("factor"), py::arg("addend"), py::arg("steps"), py::arg("isa"),
             py::arg("dtype") = "float32");
  module.def("peak_gflops", &measure_peak, DefaultFloats(), py::arg("isa"), py::arg("threads"),
             py::arg("seconds"), py::arg("dtype") = "float32");
  module.def("loop_seconds", &measure_loop, DefaultFloats(), py::arg("threads"), py::arg("chunks"),
             py::arg("steps"), py::arg("seconds"));
}

}  // namespace lpn::bindings
