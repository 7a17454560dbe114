// The conversion's body, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>

#include "kernels/channels-inl.h"
#include "kernels/convert/convert.h"

namespace lpn {
namespace {

// What elements of a type stand for, and the floats that `store` makes them of.
template <class T>
struct Elements {
  Elements(float, float) {}
  F32 value(F32 element) const { return element; }
  F32 element(F32 value) const { return value; }
};
template <>
struct Elements<uint8_t> {
  Elements(float of_scale, float of_zero_point)
      : scale(set1<F32>(of_scale)), zero_point(set1<F32>(of_zero_point)) {}
  F32 value(F32 element) const { return mul(sub(element, zero_point), scale); }
  F32 element(F32 value) const {
    const F32 q = add(div(value, scale), zero_point);
    return min(max(q, zero<F32>()), set1<F32>(255.0f));
  }

  F32 scale, zero_point;
};

template <class In, class Out>
inline void convert(const ConvertArgs<In, Out>& args) {
  assert(args.count >= 0);
  assert(args.in != nullptr && args.out != nullptr);
  const In* const in = args.in;
  Out* const out = args.out;
  const Elements<In> from(args.scale, args.zero_point);
  const Elements<Out> to(args.scale, args.zero_point);
  for_each_channels(args.count, [=](auto lanes, int64_t i) LPN_INLINE_BODY {
    lanes.write(out + i, to.element(from.value(lanes.read(in + i))));
  });
}

}  // namespace
}  // namespace lpn
