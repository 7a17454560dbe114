#include "base/cpu_features.h"

#include <cstdint>
#include <cstdlib>

#include "base/check.h"
#include "base/x86_features.h"

#if defined(__x86_64__)
#include <cpuid.h>
#endif

namespace lpn {
namespace {

struct NamedIsa {
  Isa isa;
  const char* name;
  bool built;
};

constexpr NamedIsa kNamedIsas[] = {
#define LPN_ISA_SET(constant, name, built, extends, features) {Isa::constant, #name, built != 0},
#include "base/isa_sets.inc"
#undef LPN_ISA_SET
};

#if defined(__x86_64__)

// The CPU may have vectors that the operating system does not save on a context switch: XCR0 tells
// which it does.
std::uint64_t read_xcr0() {
  std::uint32_t low = 0;
  std::uint32_t high = 0;
  __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
  return (static_cast<std::uint64_t>(high) << 32) | low;
}

Isa detect() {
  X86Answers answers;
  unsigned eax = 0;
  unsigned ebx = 0;
  unsigned ecx = 0;
  unsigned edx = 0;
  if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) != 0) {
    answers.leaf1_ecx = ecx;
    const bool osxsave = (ecx >> 27 & 1) != 0;
    if (osxsave) answers.xcr0 = read_xcr0();
  }
  if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) != 0) {
    const unsigned last_subleaf = eax;
    answers.leaf7_ebx = ebx;
    answers.leaf7_ecx = ecx;
    if (last_subleaf >= 1) {
      __cpuid_count(7, 1, eax, ebx, ecx, edx);
      answers.leaf7_1_eax = eax;
    }
  }
  return x86_features(answers);
}

#elif defined(__aarch64__)

Isa detect() { return Isa::kNeon; }  // part of the architecture

#else

Isa detect() { return Isa::kScalar; }

#endif

bool supported(const NamedIsa& named) { return named.built && contains(cpu_features(), named.isa); }

template <class Wanted>
std::string join_names(const Wanted& wanted) {
  std::string names;
  for (const NamedIsa& named : kNamedIsas) {
    if (wanted(named)) names += std::string(names.empty() ? "" : ", ") + named.name;
  }
  return names;
}

Isa parse_supported(const std::string& name, const char* source) {
  for (const NamedIsa& named : kNamedIsas) {
    if (name != named.name) continue;
    LPN_CHECK(supported(named), source, " \"", name, "\": this build on this CPU supports ",
              join_names(supported), "; leave it out to take the best of them");
    return named.isa;
  }
  throw_invalid(source, " \"", name, "\" is not known; give one of auto, ",
                join_names([](const NamedIsa&) { return true; }),
                " (supported here: ", join_names(supported), ")");
}

}  // namespace

Isa cpu_features() {
  static const Isa features = detect();
  return features;
}

const char* isa_name(Isa isa) {
  const char* best = kNamedIsas[0].name;
  for (const NamedIsa& named : kNamedIsas) {
    if (named.built && contains(isa, named.isa)) best = named.name;
  }
  return best;
}

std::vector<Isa> supported_isas() {
  std::vector<Isa> isas;
  for (const NamedIsa& named : kNamedIsas) {
    if (supported(named)) isas.push_back(named.isa);
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
  return cpu_features();
}

}  // namespace lpn
