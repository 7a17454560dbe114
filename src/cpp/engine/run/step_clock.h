// Notes when the steps of a run begin and end.
#pragma once

#include <chrono>

namespace lpn {

// A run of one image calls mark() before its first step and after each, from the caller's thread.
class StepClock {
 public:
  // Room for one mark more than there are steps, per run.
  explicit StepClock(double* marks) : next_(marks) {}

  // In seconds of the steady clock. Reading it takes some 30 ns.
  void mark() {
    const auto now = std::chrono::steady_clock::now().time_since_epoch();
    *next_++ = std::chrono::duration<double>(now).count();
  }

 private:
  double* next_;
};

}  // namespace lpn
