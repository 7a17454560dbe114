// CPU features and sets of them, in a header that ISA files may include.
#pragma once

#include <cstdint>

namespace lpn {

// One bit each. In lower case they are what x86 compilers call them: -mavx512vnni.
struct Feature {
  enum Bit : std::uint32_t {
    kNeon = 1u << 0,
    kDotProd = 1u << 1,
    kAvx2 = 1u << 2,
    kFma = 1u << 3,
    kF16c = 1u << 4,
    kAvxVnni = 1u << 5,
    kAvx512f = 1u << 6,
    kAvx512bw = 1u << 7,
    kAvx512vl = 1u << 8,
    kAvx512dq = 1u << 9,
    kAvx512Vnni = 1u << 10,
    kAvx512Bf16 = 1u << 11,
  };
};

// A set of features: those that a kernel's variant needs, or those that a plan may use. The
// constants are the sets that have a name; a CPU may have any other, too.
enum class Isa : std::uint32_t {
#define LPN_ISA_SET(constant, name, built, extends, features) constant = extends | features,
#include "base/isa_sets.inc"
#undef LPN_ISA_SET
};

constexpr bool contains(Isa isa, Isa needed) {
  return (static_cast<std::uint32_t>(needed) & ~static_cast<std::uint32_t>(isa)) == 0;
}

}  // namespace lpn
