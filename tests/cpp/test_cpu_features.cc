// CPU features from fabricated answers to cpuid, and what a plan picks by them.
#include "base/cpu_features.h"

#include <fstream>
#include <set>
#include <sstream>
#include <string>

#include "base/x86_features.h"
#include "kernels/variants.h"
#include "test.h"

namespace lpn {
namespace {

// The bits of Intel's manual (volume 2, cpuid), by the names that Linux gives them.
X86Answers answers(const std::set<std::string>& flags) {
  const auto bit = [&](const char* flag, int place) {
    return flags.count(flag) != 0 ? std::uint32_t{1} << place : 0u;
  };
  X86Answers result;
  result.leaf1_ecx = bit("fma", 12) | bit("avx", 28) | bit("f16c", 29);
  result.leaf7_ebx = bit("avx2", 5) | bit("avx512f", 16) | bit("avx512dq", 17) |
                     bit("avx512bw", 30) | bit("avx512vl", 31);
  result.leaf7_ecx = bit("avx512_vnni", 11);
  result.leaf7_1_eax = bit("avx_vnni", 4) | bit("avx512_bf16", 5);
  result.xcr0 = 0xe7;  // x87, SSE, AVX, opmask and both halves of the ZMM registers
  return result;
}

std::set<std::string> operator+(std::set<std::string> flags, const std::set<std::string>& more) {
  flags.insert(more.begin(), more.end());
  return flags;
}

const std::set<std::string> kHaswell = {"avx", "avx2", "fma", "f16c"};
const std::set<std::string> kAlderLake = kHaswell + std::set<std::string>{"avx_vnni"};
const std::set<std::string> kSkylake =
    kHaswell + std::set<std::string>{"avx512f", "avx512bw", "avx512vl", "avx512dq"};
const std::set<std::string> kIceLake = kSkylake + std::set<std::string>{"avx512_vnni"};
const std::set<std::string> kZen4 = kIceLake + std::set<std::string>{"avx512_bf16"};
const std::set<std::string> kSapphireRapids = kZen4 + std::set<std::string>{"avx_vnni"};

LPN_TEST(features_are_those_of_the_answers) {
  EXPECT(x86_features(answers({})) == Isa::kScalar);
  EXPECT(x86_features(answers(kHaswell)) == Isa::kAvx2);
  EXPECT(x86_features(answers(kAlderLake)) == Isa::kAvxVnni);
  EXPECT(x86_features(answers(kSkylake)) == Isa::kAvx512);
  EXPECT(x86_features(answers(kIceLake)) == Isa::kAvx512Vnni);
  EXPECT(x86_features(answers(kZen4)) == Isa::kAvx512Bf16);
  const Isa both = x86_features(answers(kSapphireRapids));
  EXPECT(contains(both, Isa::kAvxVnni) && contains(both, Isa::kAvx512Bf16));
  EXPECT(!contains(both, Isa::kNeon));
}

LPN_TEST(features_without_their_registers_saved_are_none) {
  X86Answers no_zmm = answers(kSapphireRapids);
  no_zmm.xcr0 = 0x07;
  EXPECT(x86_features(no_zmm) == Isa::kAvxVnni);
  no_zmm.xcr0 = 0x27;  // the opmask registers alone
  EXPECT(x86_features(no_zmm) == Isa::kAvxVnni);
  X86Answers no_ymm = answers(kSapphireRapids);
  for (const std::uint64_t xcr0 : {0x00u, 0x03u, 0x05u, 0xe3u}) {
    no_ymm.xcr0 = xcr0;
    EXPECT(x86_features(no_ymm) == Isa::kScalar, xcr0);
  }
  X86Answers no_avx = answers(kSapphireRapids);
  no_avx.leaf1_ecx &= ~(std::uint32_t{1} << 28);
  EXPECT(x86_features(no_avx) == Isa::kScalar);
}

// One missing bit must cost every set that needs it, and no other.
LPN_TEST(a_set_needs_all_of_its_features) {
  for (const char* missing : {"avx512f", "avx512bw", "avx512vl", "avx512dq"}) {
    std::set<std::string> flags = kSapphireRapids;
    flags.erase(missing);
    const Isa isa = x86_features(answers(flags));
    EXPECT(contains(isa, Isa::kAvxVnni) && !contains(isa, Isa::kAvx512), missing);
    EXPECT(!contains(isa, Isa::kAvx512Vnni) && !contains(isa, Isa::kAvx512Bf16), missing);
  }
  for (const char* missing : {"avx2", "fma", "f16c"}) {
    std::set<std::string> flags = kSapphireRapids;
    flags.erase(missing);
    const Isa isa = x86_features(answers(flags));
    EXPECT(!contains(isa, Isa::kAvx2) && !contains(isa, Isa::kAvx512), missing);
  }
}

using Nothing = void (*)();

void do_nothing() {}

// As an operator of 8-bit integers would list itself.
const Variant<Nothing> kFakeVariants[] = {
    {Isa::kAvx512Vnni, "avx512vnni", do_nothing}, {Isa::kAvxVnni, "avxvnni", do_nothing},
    {Isa::kAvx512, "avx512", do_nothing},         {Isa::kAvx2, "avx2", do_nothing},
    {Isa::kNeonDot, "neondot", do_nothing},       {Isa::kNeon, "neon", do_nothing},
    {Isa::kScalar, "scalar", do_nothing},
};

std::string picked(Isa isa) { return select_variant(kFakeVariants, isa).name; }

LPN_TEST(a_plan_takes_the_first_variant_whose_features_are_there) {
  EXPECT(picked(x86_features(answers({}))) == "scalar");
  EXPECT(picked(x86_features(answers(kHaswell))) == "avx2");
  EXPECT(picked(x86_features(answers(kAlderLake))) == "avxvnni", "AVX-VNNI without AVX-512");
  EXPECT(picked(x86_features(answers(kSkylake))) == "avx512", "AVX-512 without VNNI");
  EXPECT(picked(x86_features(answers(kIceLake))) == "avx512vnni");
  EXPECT(picked(x86_features(answers(kZen4))) == "avx512vnni");
  EXPECT(picked(x86_features(answers(kSapphireRapids))) == "avx512vnni");
  EXPECT(picked(x86_features(answers(kSkylake + kAlderLake))) == "avxvnni", "AVX-512 beside it");
  EXPECT(picked(Isa::kNeon) == "neon");
  EXPECT(picked(Isa::kNeonDot) == "neondot");
}

// A name asks for its set and no more, even where the CPU has more.
LPN_TEST(a_named_set_picks_no_better_variant) {
  EXPECT(picked(Isa::kAvx512) == "avx512");
  EXPECT(picked(Isa::kAvx2) == "avx2");
  EXPECT(picked(Isa::kScalar) == "scalar");
}

LPN_TEST(supported_sets_have_names_that_parse_to_them) {
  const std::vector<Isa> isas = supported_isas();
  EXPECT(!isas.empty() && isas[0] == Isa::kScalar);
  for (const Isa isa : isas) {
    EXPECT(parse_isa(isa_name(isa)) == isa, isa_name(isa));
    EXPECT(contains(cpu_features(), isa), isa_name(isa));
  }
  EXPECT(std::string(isa_name(cpu_features())) == isa_name(isas.back()));
}

#if defined(__x86_64__) && defined(__linux__)
LPN_TEST(features_are_those_that_linux_lists) {
  std::ifstream cpuinfo("/proc/cpuinfo");
  for (std::string line; std::getline(cpuinfo, line);) {
    if (line.rfind("flags", 0) != 0) continue;
    std::istringstream words(line.substr(line.find(':') + 1));
    std::set<std::string> flags;
    for (std::string word; words >> word;) flags.insert(word);
    EXPECT(cpu_features() == x86_features(answers(flags)), line);
    return;
  }
}
#endif

}  // namespace
}  // namespace lpn
