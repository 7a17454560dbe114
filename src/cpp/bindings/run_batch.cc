#include "bindings/run_batch.h"

#include <functional>
#include <memory>
#include <optional>

#include "base/check.h"
#include "base/float_environment.h"

namespace lpn::bindings {
namespace {

bool is_main_thread() {
  const py::module_ threading = py::module_::import("threading");
  return threading.attr("current_thread")().is(threading.attr("main_thread")());
}

}  // namespace

bool SignalCheck::operator()() {
  if (raised_.load(std::memory_order_relaxed)) return true;
  if (std::this_thread::get_id() != caller_ || !runs_handlers_ || Clock::now() < next_)
    return false;
  {
    const WithoutGil::Pause gil(released_);
    const DefaultFloatEnvironment environment;  // whatever a handler leaves behind
    runs_handlers_ = is_main_thread();
    if (runs_handlers_ && PyErr_CheckSignals() != 0) raised_.store(true, std::memory_order_relaxed);
  }
  next_ = Clock::now() + kInterval;
  return raised_.load(std::memory_order_relaxed);
}

std::shared_ptr<PreparedPlan> prepare(CompiledModel& model, std::int64_t h, std::int64_t w) {
  const WithoutGil released;
  return model.prepare(h, w);
}

void check_pixels(const CompiledModel& model, const std::vector<double>& scale,
                  const std::vector<double>& shift) {
  const std::optional<PixelInput>& pixels = model.graph().pixels();
  if (model.precision() != Precision::kInt8 || !pixels) return;
  LPN_CHECK(pixels->scale == scale && pixels->shift == shift,
            "scale and shift are not those of the graph's set_pixels; an int8 network has them in "
            "its weights");
}

std::vector<py::array_t<float>> run_batch(CompiledModel& model, std::int64_t h, std::int64_t w,
                                          Batch& batch, Wanted wanted) {
  const std::shared_ptr<PreparedPlan> prepared = prepare(model, h, w);
  std::vector<py::array_t<float>> arrays;
  std::vector<void*> outputs;
  for (const Shape& shape : prepared->plan().outputs()) {
    if (wanted == Wanted::kFirst && !arrays.empty()) {
      outputs.push_back(nullptr);
      continue;
    }
    arrays.push_back(make_array<float>("the result", {batch.n, shape.h, shape.w, shape.c}));
    outputs.push_back(arrays.back().mutable_data());
  }
  bool finished = false;
  {
    WithoutGil released;
    SignalCheck signals(released);
    batch.stop = std::ref(signals);
    finished = model.run(*prepared, batch, outputs);
  }
  if (!finished) throw py::error_already_set();
  return arrays;
}

}  // namespace lpn::bindings
