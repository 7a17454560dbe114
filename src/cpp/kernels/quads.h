// How kernels of bytes pack the weights that they multiply four at a time, in a header that ISA
// files may include.
//
// A kernel reads one vector of bytes, which are channels side by side, for each of four terms and
// transposes them (simd/README.md, transpose4): lane l of the s-th of four vectors then holds the
// four terms of channel quad_channel(s, l). A quad's weights are four vectors in this order.
#pragma once

#include <cstdint>

#include "base/isa.h"

namespace lpn {
namespace {

struct QuadLayout {
  std::int64_t lanes;  // bytes of a vector: the channels of a block
  bool words;          // factors are of 16 bits: even terms of all lanes, then odd ones
};

// Of the variant that needs these features.
constexpr QuadLayout quad_layout(Isa isa) {
  if (contains(isa, Isa::kAvx512)) return {64, !contains(isa, Isa::kAvx512Vnni)};
  if (contains(isa, Isa::kAvx2)) return {32, !contains(isa, Isa::kAvxVnni)};
  return {16, true};
}

constexpr std::int64_t kQuadTerms = 4;
constexpr std::int64_t kQuadVectors = 4;

constexpr std::int64_t quads_of(std::int64_t terms) {
  return (terms + kQuadTerms - 1) / kQuadTerms;
}

constexpr std::int64_t quad_channel(std::int64_t vector, std::int64_t lane) {
  return lane / 4 * 16 + vector * 4 + lane % 4;
}

// Of one of the four vectors of a quad: lanes, and bytes of weights.
constexpr std::int64_t quad_vector_lanes(QuadLayout layout) { return layout.lanes / kQuadTerms; }
constexpr std::int64_t quad_vector_bytes(QuadLayout layout) {
  return layout.lanes * (layout.words ? 2 : 1);
}

// Bytes of one quad's weights.
constexpr std::int64_t quad_weight_bytes(QuadLayout layout) {
  return kQuadVectors * quad_vector_bytes(layout);
}

}  // namespace
}  // namespace lpn
