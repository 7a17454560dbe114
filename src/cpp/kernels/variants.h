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

// A row of the table of an operator that has kernels for several types of elements: those of
// another type than the table's stay in it, and are not picked.
template <class Fn>
constexpr Variant<Fn> variant_of(Isa isa, const char* name, Fn run) {
  return {isa, name, run};
}
template <class Fn>
constexpr Variant<Fn> variant_of(Isa isa, const char* name, ...) {
  return {isa, name, nullptr};
}

// A variant that reads its weights in panels (kernels/panel.h).
template <class Fn>
struct PanelVariant : Variant<Fn> {
  std::int64_t panel;  // columns of one
};

// The first variant all of whose features are in `isa`. Tables are ordered best first, each type's
// ending with scalar.
template <class AnyVariant, std::size_t kCount>
const AnyVariant& select_variant(const AnyVariant (&variants)[kCount], Isa isa) {
  for (const AnyVariant& variant : variants) {
    if (variant.run != nullptr && contains(isa, variant.isa)) return variant;
  }
  return variants[kCount - 1];
}

}  // namespace lpn
