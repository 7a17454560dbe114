// How products of bytes are computed, in a header that ISA files may include.
#pragma once

#include <cstdint>

#include "base/isa.h"

namespace lpn {
namespace {

// Whether a variant for these features has an instruction for fours of bytes. The others multiply
// pairs of 16 bits: the weights are packed so, and the rows of the first factor widened into
// scratch.
constexpr bool multiplies_fours(Isa isa) {
  return contains(isa, static_cast<Isa>(Feature::kAvx512Vnni)) ||
         contains(isa, static_cast<Isa>(Feature::kAvxVnni));
}

// Elements from one widened row of `k` bytes to the next: whole vectors on every tier.
constexpr std::int64_t widened_stride(std::int64_t k) { return (k + 31) / 32 * 32; }

}  // namespace
}  // namespace lpn
