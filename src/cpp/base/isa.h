// The instruction-set tiers, in a header that ISA files may include.
#pragma once

namespace lpn {

// Tiers in ascending order on each architecture; a kernel without a variant for a tier falls back
// to the next lower one.
enum class Isa { kScalar = 0, kNeon = 1, kAvx2 = 2, kAvx512 = 3 };

}  // namespace lpn
