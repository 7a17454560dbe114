// Which instruction sets this process may use, and which one it was told to use.
#pragma once

#include <string>
#include <vector>

#include "base/isa.h"

namespace lpn {

// "scalar", "neon", "avx2", "avx512": the same strings in CMake, file names, Python and LPN_ISA.
const char* isa_name(Isa isa);

// Compiled into this build and usable on this CPU under this operating system (cpuid and XGETBV).
bool isa_supported(Isa isa);

// Every supported tier, lowest first; always starts with kScalar.
std::vector<Isa> supported_isas();

// Parses a tier's name; "auto" gives default_isa(). Throws std::invalid_argument for an unknown or
// unsupported one.
Isa parse_isa(const std::string& name);

// LPN_ISA when it is set (validated as parse_isa does), else the best supported tier.
Isa default_isa();

}  // namespace lpn
