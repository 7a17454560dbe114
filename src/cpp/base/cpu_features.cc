#include "base/cpu_features.h"

#include <cstdint>
#include <cstdlib>

#include "base/check.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace lpn {
namespace {

constexpr Isa kAllIsas[] = {Isa::kScalar, Isa::kNeon, Isa::kAvx2, Isa::kAvx512};

#if defined(__x86_64__)

struct X86Features {
  bool avx2_tier = false;
  bool avx512_tier = false;
};

// The CPU may have vectors that the operating system does not save on a context switch: XCR0 tells
// which it does.
std::uint64_t read_xcr0() {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

X86Features detect() {
  X86Features features;
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0) return features;
  const bool fma = (ecx >> 12 & 1) != 0;
  const bool osxsave = (ecx >> 27 & 1) != 0;
  const bool avx = (ecx >> 28 & 1) != 0;
  const bool f16c = (ecx >> 29 & 1) != 0;
  if (!osxsave || __get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0) return features;
  constexpr std::uint64_t kYmmState = 0x06;  // XMM and upper halves of YMM
  constexpr std::uint64_t kZmmState = 0xe6;  // and opmask, upper halves of ZMM0-15, ZMM16-31
  constexpr unsigned kAvx512Bits = 1u << 16 | 1u << 17 | 1u << 30 | 1u << 31;  // F, DQ, BW, VL
  const std::uint64_t xcr0 = read_xcr0();
  const bool avx2 = (ebx >> 5 & 1) != 0;
  features.avx2_tier = avx && avx2 && fma && f16c && (xcr0 & kYmmState) == kYmmState;
  features.avx512_tier =
      features.avx2_tier && (ebx & kAvx512Bits) == kAvx512Bits && (xcr0 & kZmmState) == kZmmState;
  return features;
}

[[maybe_unused]] const X86Features& x86_features() {
  static const X86Features features = detect();
  return features;
}

#endif

std::string join_names(const std::vector<Isa>& isas) {
  std::string names;
  for (const Isa isa : isas) names += std::string(names.empty() ? "" : ", ") + isa_name(isa);
  return names;
}

Isa parse_supported(const std::string& name, const char* source) {
  for (const Isa isa : kAllIsas) {
    if (name != isa_name(isa)) continue;
    LPN_CHECK(isa_supported(isa), source, " \"", name, "\": this build on this CPU supports ",
              join_names(supported_isas()), "; leave it out to take the best of them");
    return isa;
  }
  throw_invalid(source, " \"", name, "\" is not known; give one of auto, ",
                join_names({std::begin(kAllIsas), std::end(kAllIsas)}),
                " (supported here: ", join_names(supported_isas()), ")");
}

}  // namespace

const char* isa_name(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return "scalar";
    case Isa::kNeon:
      return "neon";
    case Isa::kAvx2:
      return "avx2";
    case Isa::kAvx512:
      return "avx512";
  }
  return "scalar";
}

bool isa_supported(Isa isa) {
  switch (isa) {
    case Isa::kScalar:
      return true;
    case Isa::kNeon:
#if LPN_HAVE_NEON
      return true;
#else
      return false;
#endif
    case Isa::kAvx2:
#if LPN_HAVE_AVX2
      return x86_features().avx2_tier;
#else
      return false;
#endif
    case Isa::kAvx512:
#if LPN_HAVE_AVX512
      return x86_features().avx512_tier;
#else
      return false;
#endif
  }
  return false;
}

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas;
  for (const Isa isa : kAllIsas) {
    if (isa_supported(isa)) isas.push_back(isa);
  }
  return isas;
}

Isa parse_isa(const std::string& name) {
  return name == "auto" ? default_isa() : parse_supported(name, "isa");
}

Isa default_isa() {
  const char* name = std::getenv("LPN_ISA");
  if (name != nullptr && *name != '\0' && std::string(name) != "auto") {
    return parse_supported(name, "environment variable LPN_ISA");
  }
  return supported_isas().back();
}

}  // namespace lpn
