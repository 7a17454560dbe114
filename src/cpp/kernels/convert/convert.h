// The elements of a map as those of another type.
#pragma once

#include <cstdint>

#include "base/bfloat16.h"
#include "kernels/variants.h"

namespace lpn {

// out[i] is the element nearest to in[i], for elements [0, count). Bytes q stand for scale (q -
// zero_point), in float32: from them, (q - zero_point) * scale, and to them, in[i] / scale +
// zero_point, clamped to 0..255 (a NaN to 0); half rounds to even. Between floats and bfloat16
// numbers neither is looked at.
template <class In, class Out>
struct ConvertArgs {
  const In* in;
  Out* out;
  std::int64_t count;
  float scale, zero_point;
};

template <class In, class Out>
using ConvertFn = void (*)(const ConvertArgs<In, Out>& args);

#define LPN_KERNEL(in, out, name, isa) void name(const ConvertArgs<in, out>& args);
#include "kernels/convert/kernels.inc"
#undef LPN_KERNEL

// For two different types of float, Bfloat16 and uint8_t.
template <class In, class Out>
const Variant<ConvertFn<In, Out>>& select_convert(Isa isa);

}  // namespace lpn
