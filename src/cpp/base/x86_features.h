// What an x86 CPU's answers to cpuid and XGETBV mean.
#pragma once

#include <cstdint>

#include "base/isa.h"

namespace lpn {

struct X86Answers {
  std::uint32_t leaf1_ecx = 0;
  std::uint32_t leaf7_ebx = 0;
  std::uint32_t leaf7_ecx = 0;
  std::uint32_t leaf7_1_eax = 0;  // of leaf 7, subleaf 1
  std::uint64_t xcr0 = 0;         // 0 where the system does not let it be read
};

// Every feature that both the CPU has and the operating system saves the registers of on a context
// switch.
Isa x86_features(const X86Answers& answers);

}  // namespace lpn
