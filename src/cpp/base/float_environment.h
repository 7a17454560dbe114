// The floating-point environment that results are promised for.
#pragma once

#include <cfenv>

namespace lpn {

// While it lives, this thread rounds to nearest and keeps subnormal numbers, whatever mode its
// caller had set (some libraries flush subnormals to zero for a whole thread): otherwise the bits
// of a result would depend on which thread computed it. The destructor restores the caller's mode.
class DefaultFloatEnvironment {
 public:
  DefaultFloatEnvironment() {
    std::fegetenv(&callers_);
    std::fesetenv(FE_DFL_ENV);
  }
  ~DefaultFloatEnvironment() { std::fesetenv(&callers_); }
  DefaultFloatEnvironment(const DefaultFloatEnvironment&) = delete;
  DefaultFloatEnvironment& operator=(const DefaultFloatEnvironment&) = delete;

 private:
  std::fenv_t callers_;
};

}  // namespace lpn
