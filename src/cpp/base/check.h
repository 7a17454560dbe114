// Checks on what a caller gave. Used at the binding and engine boundary only; kernels assert.
#pragma once

#include <sstream>
#include <stdexcept>

namespace lpn {

// Throws std::invalid_argument (ValueError in Python) with the streamed parts as its message.
template <class... Parts>
[[noreturn]] void throw_invalid(const Parts&... parts) {
  std::ostringstream message;
  (message << ... << parts);
  throw std::invalid_argument(message.str());
}

}  // namespace lpn

#define LPN_CHECK(condition, ...)        \
  do {                                   \
    if (!(condition)) {                  \
      ::lpn::throw_invalid(__VA_ARGS__); \
    }                                    \
  } while (false)
