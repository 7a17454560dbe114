// Packs the weights of quads (kernels/quads.h).
#pragma once

#include <cstdint>
#include <cstring>

#include "kernels/quads.h"

namespace lpn {

// weight(t, lane) gives the factor of term t in 0..3 in a lane of the vector. Returns what follows
// it.
template <class Weight>
std::int8_t* pack_quad_vector(QuadLayout layout, const Weight& weight, std::int8_t* packed) {
  const std::int64_t lanes = quad_vector_lanes(layout);
  for (std::int64_t lane = 0; lane < lanes; ++lane) {
    for (std::int64_t t = 0; t < kQuadTerms; ++t) {
      const std::int8_t factor = weight(t, lane);
      if (layout.words) {
        const std::int16_t word = factor;
        const std::int64_t at = (t % 2 * lanes + lane) * 2 + t / 2;
        std::memcpy(packed + at * static_cast<std::int64_t>(sizeof word), &word, sizeof word);
      } else {
        packed[lane * kQuadTerms + t] = factor;
      }
    }
  }
  return packed + quad_vector_bytes(layout);
}

// weight(t, c) gives the factor of term t for channel c of the block.
template <class Weight>
std::int8_t* pack_quad(QuadLayout layout, const Weight& weight, std::int8_t* packed) {
  for (std::int64_t s = 0; s < kQuadVectors; ++s) {
    const auto in_order = [&](std::int64_t t, std::int64_t lane) {
      return weight(t, quad_channel(s, lane));
    };
    packed = pack_quad_vector(layout, in_order, packed);
  }
  return packed;
}

}  // namespace lpn
