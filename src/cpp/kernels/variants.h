// How an operator's list of variants (kernels.inc) becomes a table, and how a plan picks from it,
// once.
#pragma once

#include <cstddef>
#include <cstdint>

#include "base/isa.h"

namespace lpn {

template <class Fn>
struct Variant {
  Isa isa;  // the features it needs
  const char* name;
  Fn run;
};

// A variant that reads its weights in panels (kernels/panel.h).
template <class Fn>
struct PanelVariant : Variant<Fn> {
  std::int64_t panel;  // columns of one
};

// The first variant all of whose features are in `isa`. Tables are ordered best first and end with
// scalar.
template <class AnyVariant, std::size_t kCount>
const AnyVariant& select_variant(const AnyVariant (&variants)[kCount], Isa isa) {
  for (const AnyVariant& variant : variants) {
    if (contains(isa, variant.isa)) return variant;
  }
  return variants[kCount - 1];
}

}  // namespace lpn
