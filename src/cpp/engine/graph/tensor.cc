#include "engine/graph/tensor.h"

#include "base/check.h"

namespace lpn {

std::string format_shape(const std::vector<std::int64_t>& shape) {
  std::string text = "(";
  for (std::size_t i = 0; i < shape.size(); ++i)
    text += (i > 0 ? ", " : "") + std::to_string(shape[i]);
  return text + (shape.size() == 1 ? ",)" : ")");
}

std::int64_t checked_size(const char* what, const std::vector<std::int64_t>& factors) {
  constexpr std::int64_t kLimit = std::int64_t{1} << 40;
  std::int64_t size = 1;
  for (const std::int64_t factor : factors) {
    LPN_CHECK(factor >= 0 && !__builtin_mul_overflow(size, factor, &size) && size <= kLimit, what,
              " of shape ", format_shape(factors),
              " is too large; at most 2^40 elements are supported");
  }
  return size;
}

}  // namespace lpn
