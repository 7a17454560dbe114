// How an operator's list of variants (kernels.inc) becomes a table, and how a plan picks from it,
// once.
#pragma once

#include <cstddef>

#include "base/isa.h"

namespace lpn {

template <class Fn>
struct Variant {
  Isa isa;
  const char* name;
  Fn run;
};

// The best variant that does not need more than `isa`. Tables are ordered best first and end with
// scalar.
template <class Fn, std::size_t kCount>
const Variant<Fn>& select_variant(const Variant<Fn> (&variants)[kCount], Isa isa) {
  for (const Variant<Fn>& variant : variants) {
    if (variant.isa <= isa) return variant;
  }
  return variants[kCount - 1];
}

}  // namespace lpn
