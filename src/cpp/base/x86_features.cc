#include "base/x86_features.h"

namespace lpn {
namespace {

constexpr std::uint64_t kYmmState = 0x06;  // XMM and upper halves of YMM
constexpr std::uint64_t kZmmState = 0xe6;  // and opmask, upper halves of ZMM0-15, ZMM16-31

struct X86Feature {
  Feature::Bit feature;
  std::uint32_t X86Answers::* answer;
  int bit;
  std::uint64_t state;
};

constexpr X86Feature kX86Features[] = {
    {Feature::kFma, &X86Answers::leaf1_ecx, 12, kYmmState},
    {Feature::kF16c, &X86Answers::leaf1_ecx, 29, kYmmState},
    {Feature::kAvx2, &X86Answers::leaf7_ebx, 5, kYmmState},
    {Feature::kAvx512f, &X86Answers::leaf7_ebx, 16, kZmmState},
    {Feature::kAvx512dq, &X86Answers::leaf7_ebx, 17, kZmmState},
    {Feature::kAvx512bw, &X86Answers::leaf7_ebx, 30, kZmmState},
    {Feature::kAvx512vl, &X86Answers::leaf7_ebx, 31, kZmmState},
    {Feature::kAvx512Vnni, &X86Answers::leaf7_ecx, 11, kZmmState},
    {Feature::kAvxVnni, &X86Answers::leaf7_1_eax, 4, kYmmState},
    {Feature::kAvx512Bf16, &X86Answers::leaf7_1_eax, 5, kZmmState},
};

}  // namespace

Isa x86_features(const X86Answers& answers) {
  constexpr int kAvxBit = 28;
  std::uint32_t features = 0;
  if ((answers.leaf1_ecx >> kAvxBit & 1) != 0) {
    for (const X86Feature& known : kX86Features) {
      const bool has = (answers.*known.answer >> known.bit & 1) != 0;
      if (has && (answers.xcr0 & known.state) == known.state) features |= known.feature;
    }
  }
  return static_cast<Isa>(features);
}

}  // namespace lpn
