// Work of the engine within a call from Python.
#pragma once

#include <pybind11/pybind11.h>

namespace lpn::bindings {

// While it lives, other threads of Python run. Every binding uses this one, never pybind11's own: a
// daemon thread that wants the GIL back after the interpreter has begun to finalize does not get
// it, and Python before 3.14 ends such a thread by unwinding its stack, through destructors that
// must not throw (which ends the process, std::terminate) and through objects of Python that would
// be released without the GIL. Here such a thread sleeps until the process exits.
class WithoutGil {
 public:
  WithoutGil() : state_(PyEval_SaveThread()) {}
  ~WithoutGil() { retake(); }
  WithoutGil(const WithoutGil&) = delete;
  WithoutGil& operator=(const WithoutGil&) = delete;

  // A moment with the GIL in between.
  class Pause {
   public:
    explicit Pause(WithoutGil& owner) : owner_(owner) { owner_.retake(); }
    ~Pause() { owner_.state_ = PyEval_SaveThread(); }
    Pause(const Pause&) = delete;
    Pause& operator=(const Pause&) = delete;

   private:
    WithoutGil& owner_;
  };

 private:
  void retake();

  PyThreadState* state_;
};

}  // namespace lpn::bindings
