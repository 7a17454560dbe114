// The loop over a pixel's channels: whole vectors, then a masked rest. Include after a vec_*.h.
#pragma once

#include <stdint.h>

#include "kernels/inline_body.h"

namespace lpn {
namespace {

struct AllLanes {
  static constexpr bool kPartial = false;

  int count() const { return F32::kLanes; }
  template <class T>
  F32 read(const T* p) const {
    return load<F32>(p);
  }
  template <class T>
  void write(T* p, F32 v) const {
    store(p, v);
  }
};

struct FirstLanes {
  static constexpr bool kPartial = true;
  int n;

  int count() const { return n; }
  template <class T>
  F32 read(const T* p) const {
    return load_n<F32>(p, n);
  }
  template <class T>
  void write(T* p, F32 v) const {
    store_n(p, n, v);
  }
};

// How many vectors one call of a body covers.
template <int kCount>
struct Vectors {
  static constexpr int kVectors = kCount;
};

// As for_each_channels, `kCount` whole vectors at a time as long as there are so many: calls
// body(lanes, vectors, c).
template <int kCount, class Body>
LPN_INLINE_BODY inline void for_each_channel_group(int64_t channels, const Body& body) {
  int64_t c = 0;
  for (; c + kCount * F32::kLanes <= channels; c += kCount * F32::kLanes)
    body(AllLanes{}, Vectors<kCount>{}, c);
  for (; c + F32::kLanes <= channels; c += F32::kLanes) body(AllLanes{}, Vectors<1>{}, c);
  if (c < channels) body(FirstLanes{static_cast<int>(channels - c)}, Vectors<1>{}, c);
}

// Calls body(lanes, c) for c = 0, kLanes, ... below `channels`.
template <class Body>
LPN_INLINE_BODY inline void for_each_channels(int64_t channels, const Body& body) {
  int64_t c = 0;
  for (; c + F32::kLanes <= channels; c += F32::kLanes) body(AllLanes{}, c);
  if (c < channels) body(FirstLanes{static_cast<int>(channels - c)}, c);
}

// The same for bytes, in vectors of them.
struct AllBytes {
  U8 read(const uint8_t* p) const { return load<U8>(p); }
  void write(uint8_t* p, U8 v) const { store(p, v); }
};

struct FirstBytes {
  int n;

  U8 read(const uint8_t* p) const { return load_n<U8>(p, n); }
  void write(uint8_t* p, U8 v) const { store_n(p, n, v); }
};

template <class Body>
LPN_INLINE_BODY inline void for_each_bytes(int64_t channels, const Body& body) {
  int64_t c = 0;
  for (; c + U8::kLanes <= channels; c += U8::kLanes) body(AllBytes{}, c);
  if (c < channels) body(FirstBytes{static_cast<int>(channels - c)}, c);
}

}  // namespace
}  // namespace lpn
