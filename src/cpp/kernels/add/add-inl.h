// The sum's body, written once. Include after a vec_*.h.
#pragma once

#include <assert.h>

#include "kernels/add/add.h"
#include "kernels/channels-inl.h"

namespace lpn {
namespace {

inline void add(const AddArgs<uint8_t>& args) {
  assert(args.count >= 0);
  assert(args.a != nullptr && args.b != nullptr && args.out != nullptr);
  const uint8_t* const a = args.a;
  const uint8_t* const b = args.b;
  uint8_t* const out = args.out;
  const F32 a_scale = set1<F32>(args.a_scale);
  const F32 b_scale = set1<F32>(args.b_scale);
  const F32 constant = set1<F32>(args.constant);
  const F32 least = set1<F32>(args.least);
  const F32 most = set1<F32>(args.most);
  for_each_channels(args.count, [=](auto lanes, int64_t i) LPN_INLINE_BODY {
    const F32 sum =
        fma_exact(lanes.read(a + i), a_scale, fma_exact(lanes.read(b + i), b_scale, constant));
    lanes.write(out + i, min(max(sum, least), most));
  });
}

}  // namespace
}  // namespace lpn
