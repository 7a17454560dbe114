// CompiledModel: batches of arrays through the engine.
#include <pybind11/stl.h>

#include <array>
#include <cmath>
#include <functional>
#include <memory>
#include <utility>

#include "base/cpu_features.h"
#include "bindings/arrays.h"
#include "bindings/bindings.h"
#include "bindings/run_batch.h"
#include "engine/run/compiled_model.h"
#include "engine/run/profile.h"

namespace lpn::bindings {
namespace {

// "auto" is the fastest at full quality: bfloat16 where the CPU multiplies it.
Precision parse_precision(const std::string& name, Isa isa) {
  if (name == "fp32") return Precision::kFp32;
  if (name == "bf16") return Precision::kBf16;
  if (name == "int8") return Precision::kInt8;
  LPN_CHECK(name == "auto", "precision is \"", name, "\"; it must be fp32, bf16, int8 or auto");
  return contains(isa, Isa::kAvx512Bf16) ? Precision::kBf16 : Precision::kFp32;
}

const char* precision_name(Precision precision) {
  switch (precision) {
    case Precision::kFp32:
      return "fp32";
    case Precision::kBf16:
      return "bf16";
    case Precision::kInt8:
      return "int8";
  }
  return "";
}

std::unique_ptr<CompiledModel> make_model(const Graph& graph, int threads, const std::string& isa,
                                          std::int64_t memory_limit, const std::string& precision) {
  LPN_CHECK(threads >= 0, "threads is ", threads,
            "; it must be at least 1, or 0 for as many as this process may use");
  LPN_CHECK(memory_limit >= 0, "memory_limit is ", memory_limit,
            "; it must be at least 1 byte, or 0 for what the machine or its cgroup has");
  const Isa tier = parse_isa(isa);
  const Precision chosen = parse_precision(precision, tier);
  Graph own = graph;  // which other threads may be adding to
  const WithoutGil released;
  return std::make_unique<CompiledModel>(std::move(own), threads, tier, memory_limit, chosen);
}

using Arrays = std::vector<py::array_t<float>>;

Arrays run_float(CompiledModel& model, const py::array& x, Wanted wanted) {
  const Input<float> input = read<float>(x, "x", 4, "(N, H, W, C)");
  LPN_CHECK(input[3] == model.graph().input_channels(), "x has shape ", format_shape(input.shape),
            "; its last axis must be ", model.graph().input_channels(), " channels, (N, H, W, C)");
  Batch batch;
  batch.n = input[0];
  batch.pixels = input.data;
  return run_batch(model, input[1], input[2], batch, wanted);
}

Arrays run_u8(CompiledModel& model, const py::array& x, const std::vector<int>& channel_map,
              const std::vector<double>& scale, const std::vector<double>& shift, Wanted wanted) {
  const Input<std::uint8_t> input = read<std::uint8_t>(x, "x", 4, "(N, H, W, 3)");
  check_pixels(model, scale, shift);
  const std::optional<PixelInput>& pixels = model.graph().pixels();
  LPN_CHECK(
      model.precision() != Precision::kInt8 || !pixels || pixels->channel_map == channel_map,
      "channel_map is not that of the graph's set_pixels; an int8 network has it in its weights");
  const auto channels = static_cast<std::size_t>(model.graph().input_channels());
  LPN_CHECK(input[3] == 3, "x has shape ", format_shape(input.shape), "; it must be (N, H, W, 3)");
  LPN_CHECK(channel_map.size() == channels && scale.size() == channels && shift.size() == channels,
            "channel_map, scale and shift have ", channel_map.size(), ", ", scale.size(), " and ",
            shift.size(), " values; each needs one per input channel, ", channels);
  Batch batch;
  batch.n = input[0];
  batch.bytes = input.data;
  batch.channel_map = channel_map;
  batch.table.resize(channels);
  for (std::size_t c = 0; c < channels; ++c) {
    LPN_CHECK(channel_map[c] >= 0 && channel_map[c] < 3, "channel_map[", c, "] is ", channel_map[c],
              "; it must be 0, 1 or 2");
    const auto factor = static_cast<float>(scale[c]);
    const auto addend = static_cast<float>(shift[c]);
    LPN_CHECK(std::isfinite(factor) && std::isfinite(addend), "scale[", c, "] and shift[", c,
              "] are ", scale[c], " and ", shift[c], "; both must be finite in float32");
    for (std::size_t value = 0; value < 256; ++value) {
      batch.table[c][value] = static_cast<float>(value) * factor + addend;
    }
  }
  return run_batch(model, input[1], input[2], batch, wanted);
}

py::array_t<double> profile_run(CompiledModel& model, const py::array& x, std::int64_t rounds,
                                bool by_chunk) {
  const Input<float> input = read<float>(x, "x", 4, "(1, H, W, C)");
  LPN_CHECK(input[0] == 1 && input[3] == model.graph().input_channels(), "x has shape ",
            format_shape(input.shape), "; it must be one image of ", model.graph().input_channels(),
            " channels, (1, H, W, C)");
  LPN_CHECK(rounds >= 1, "rounds is ", rounds, "; it must be at least 1");
  const std::shared_ptr<PreparedPlan> prepared = prepare(model, input[1], input[2]);
  std::int64_t spans = 0;
  for (const auto& step : prepared->plan().steps()) spans += by_chunk ? step->info().chunks : 1;
  py::array_t<double> marks = make_array<double>("the result", {rounds, spans + 1});
  double* data = marks.mutable_data();
  bool finished = false;
  {
    WithoutGil released;
    SignalCheck signals(released);
    finished = by_chunk ? profile_chunks(*prepared, input.data, rounds, data, std::ref(signals))
                        : profile(model, *prepared, input.data, rounds, data, std::ref(signals));
  }
  if (!finished) throw py::error_already_set();
  return marks;
}

py::list list_steps(CompiledModel& model, std::int64_t h, std::int64_t w) {
  py::list steps;
  const std::shared_ptr<PreparedPlan> prepared = prepare(model, h, w);
  for (const auto& step : prepared->plan().steps()) {
    const Step::Info& info = step->info();
    py::dict entry;
    entry["name"] = info.name;
    entry["kernel"] = info.kernel;
    entry["isa"] = isa_name(info.isa);
    entry["precision"] = precision_name(info.precision);
    entry["chunks"] = info.chunks;
    entry["flops"] = info.flops;
    entry["bytes"] = info.bytes;
    steps.append(entry);
  }
  return steps;
}

}  // namespace

void bind_model(py::module_& module) {
  py::class_<CompiledModel>(module, "CompiledModel")
      .def(py::init(&make_model), py::arg("graph"), py::arg("threads"), py::arg("isa"),
           py::arg("memory_limit") = 0, py::arg("precision") = "fp32")
      .def_property_readonly("threads", &CompiledModel::threads)
      .def_property_readonly("isa",
                             [](const CompiledModel& model) { return isa_name(model.isa()); })
      .def_property_readonly(
          "precision", [](const CompiledModel& model) { return precision_name(model.precision()); })
      .def_property_readonly(
          "input_channels",
          [](const CompiledModel& model) { return model.graph().input_channels(); })
      .def(
          "output_shape",
          [](const CompiledModel& model, std::int64_t h, std::int64_t w) {
            const int output = model.graph().outputs().front();
            const Shape shape = model.graph().infer_shapes(h, w)[static_cast<std::size_t>(output)];
            return py::make_tuple(shape.h, shape.w, shape.c);
          },
          py::arg("height"), py::arg("width"))
      .def(
          "run",
          [](CompiledModel& model, const py::array& x) {
            return run_float(model, x, Wanted::kFirst).front();
          },
          DefaultFloats(), py::arg("x").noconvert())
      .def(
          "run_all",
          [](CompiledModel& model, const py::array& x) {
            return run_float(model, x, Wanted::kAll);
          },
          DefaultFloats(), py::arg("x").noconvert())
      .def(
          "run_u8",
          [](CompiledModel& model, const py::array& x, const std::vector<int>& channel_map,
             const std::vector<double>& scale, const std::vector<double>& shift) {
            return run_u8(model, x, channel_map, scale, shift, Wanted::kFirst).front();
          },
          DefaultFloats(), py::arg("x").noconvert(), py::arg("channel_map"), py::arg("scale"),
          py::arg("shift"))
      .def(
          "run_all_u8",
          [](CompiledModel& model, const py::array& x, const std::vector<int>& channel_map,
             const std::vector<double>& scale, const std::vector<double>& shift) {
            return run_u8(model, x, channel_map, scale, shift, Wanted::kAll);
          },
          DefaultFloats(), py::arg("x").noconvert(), py::arg("channel_map"), py::arg("scale"),
          py::arg("shift"))
      .def("profile", &profile_run, DefaultFloats(), py::arg("x").noconvert(), py::arg("rounds"),
           py::arg("by_chunk") = false)
      .def("steps", &list_steps, DefaultFloats(), py::arg("height"), py::arg("width"))
      .def(
          "arena_bytes",
          [](CompiledModel& model, std::int64_t h, std::int64_t w) {
            return prepare(model, h, w)->plan().arena_bytes();
          },
          DefaultFloats(), py::arg("height"), py::arg("width"))
      .def("release_workspaces", &CompiledModel::release_workspaces);
}

}  // namespace lpn::bindings
