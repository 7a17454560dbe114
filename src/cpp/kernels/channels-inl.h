// The loop over a pixel's channels: whole vectors, then a masked rest. Include after a vec_*.h.
#pragma once

#include <stdint.h>

namespace lpn {
namespace {

struct AllLanes {
  static constexpr bool kPartial = false;

  int count() const { return kLanes; }
  F32 read(const float* p) const { return load(p); }
  void write(float* p, F32 v) const { store(p, v); }
};

struct FirstLanes {
  static constexpr bool kPartial = true;
  int n;

  int count() const { return n; }
  F32 read(const float* p) const { return load_n(p, n); }
  void write(float* p, F32 v) const { store_n(p, n, v); }
};

// For the body of for_each_channels: its address arithmetic does not depend on the channel and must
// leave the loop, since at a dozen fma per call it would cost more than they do.
#if defined(__GNUC__)
#define LPN_INLINE_BODY __attribute__((always_inline))
#else
#define LPN_INLINE_BODY
#endif

// Calls body(lanes, c) for c = 0, kLanes, ... below `channels`.
template <class Body>
LPN_INLINE_BODY inline void for_each_channels(int64_t channels, const Body& body) {
  int64_t c = 0;
  for (; c + kLanes <= channels; c += kLanes) body(AllLanes{}, c);
  if (c < channels) body(FirstLanes{static_cast<int>(channels - c)}, c);
}

}  // namespace
}  // namespace lpn
