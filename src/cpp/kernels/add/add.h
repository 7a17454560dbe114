// The sum of two maps of bytes, element by element.
#pragma once

#include <cstdint>

#include "kernels/variants.h"

namespace lpn {

// out[i] = clamp(round(fma(a[i], a_scale, fma(b[i], b_scale, constant)))) for elements [0, count):
// bytes q stand for scale (q - zero point), the scales are those of the inputs over the output's,
// and all zero points are in the constant. Half rounds to even.
template <class T>
struct AddArgs;
template <>
struct AddArgs<std::uint8_t> {
  const std::uint8_t* a;
  const std::uint8_t* b;
  std::uint8_t* out;  // may be `a` or `b`
  std::int64_t count;
  float a_scale, b_scale, constant;
  std::uint8_t least, most;  // what `out` is clamped to
};

template <class T>
using AddFn = void (*)(const AddArgs<T>& args);

#define LPN_KERNEL(type, name, isa) void name(const AddArgs<type>& args);
#include "kernels/add/kernels.inc"
#undef LPN_KERNEL

template <class T>
const Variant<AddFn<T>>& select_add(Isa isa);

}  // namespace lpn
