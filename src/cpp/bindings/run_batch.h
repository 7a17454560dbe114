// Batches through a model, without the GIL and in reach of Ctrl-C.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

#include "bindings/arrays.h"
#include "bindings/without_gil.h"
#include "engine/run/compiled_model.h"

namespace lpn::bindings {

// Lets Python's signal handlers run during work without the GIL, some twenty times a second: the
// question costs a look at the clock, an answer the GIL. Python runs them on its main thread only,
// so that a check made on another never asks for the GIL again.
class SignalCheck {
 public:
  explicit SignalCheck(WithoutGil& released) : released_(released) {}

  // Whether a handler has raised, which the work is to end for: then, with the GIL,
  // py::error_already_set is to be thrown. Any thread may ask; the one that made this also looks.
  bool operator()();

 private:
  using Clock = std::chrono::steady_clock;
  static constexpr std::chrono::milliseconds kInterval{50};

  WithoutGil& released_;
  const std::thread::id caller_ = std::this_thread::get_id();
  Clock::time_point next_ = Clock::now() + kInterval;
  bool runs_handlers_ = true;
  std::atomic<bool> raised_{false};
};

// The model's plan, packed without the GIL. Held while it is read: another thread's runs may push
// it out of the model's list.
std::shared_ptr<PreparedPlan> prepare(CompiledModel& model, std::int64_t h, std::int64_t w);

// Whether these make the input of pixels as the graph says, for a network that has them in its
// weights; throws otherwise.
void check_pixels(const CompiledModel& model, const std::vector<double>& scale,
                  const std::vector<double>& shift);

enum class Wanted { kFirst, kAll };

// The outputs of a batch of h x w images: the first, or all. Sets batch.stop.
std::vector<py::array_t<float>> run_batch(CompiledModel& model, std::int64_t h, std::int64_t w,
                                          Batch& batch, Wanted wanted);

}  // namespace lpn::bindings
