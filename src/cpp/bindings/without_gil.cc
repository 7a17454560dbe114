#include "bindings/without_gil.h"

#include <chrono>
#include <thread>

namespace lpn::bindings {
namespace {

// Its destructor runs when Python unwinds the stack, and keeps the thread from getting any further.
struct Unwinding {
  bool possible = true;

  ~Unwinding() {
    while (possible) std::this_thread::sleep_for(std::chrono::hours(1));
  }
};

}  // namespace

void WithoutGil::retake() {
  Unwinding unwinding;
  PyEval_RestoreThread(state_);
  unwinding.possible = false;
}

}  // namespace lpn::bindings
