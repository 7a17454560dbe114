// Which CPU features this process may use, and which it is to use.
#pragma once

#include <string>
#include <vector>

#include "base/isa.h"

namespace lpn {

// Every feature this CPU has under this operating system, whether or not a kernel needs it.
Isa cpu_features();

// The best named set that this build has kernels for and that `isa` contains: of a variant, its
// own. The same strings in CMake, file names, Python and LPN_ISA.
const char* isa_name(Isa isa);

// The named sets that this build has kernels for and this CPU the features of, best last; always
// starts with kScalar.
std::vector<Isa> supported_isas();

// The features of a named set; "auto" gives default_isa(). Throws std::invalid_argument for an
// unknown or unsupported name.
Isa parse_isa(const std::string& name);

// The set that LPN_ISA names (validated as parse_isa does), else cpu_features().
Isa default_isa();

}  // namespace lpn
