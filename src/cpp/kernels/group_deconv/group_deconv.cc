#include "kernels/group_deconv/group_deconv.h"

#include <algorithm>
#include <type_traits>

#include "kernels/panel.h"

namespace lpn {
namespace {

template <class T>
const PanelVariant<GroupDeconvFn<T>> kVariants[] = {
#define LPN_KERNEL(type, name, isa, panel) \
  {variant_of<GroupDeconvFn<T>>(Isa::isa, #name, name), panel},
#include "kernels/group_deconv/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

template <class T>
const PanelVariant<GroupDeconvFn<T>>& select_group_deconv(Isa isa) {
  return select_variant(kVariants<T>, isa);
}

// For rows in the order of groups, or widened.
template <class T>
std::int64_t group_deconv_scratch_size(std::int64_t rows, std::int64_t in_h, std::int64_t in_w,
                                       std::int64_t in_c, std::int64_t groups, std::int64_t kh,
                                       std::int64_t stride) {
  if (in_c == groups && std::is_same_v<T, float>) return 0;
  // Output row y reads the multiples of the stride in [y + padding - kh + 1, y + padding].
  const std::int64_t in_rows = (rows + kh - 2) / stride + 1;
  return std::min(in_h, in_rows) * in_w * in_c;
}

template <class T>
std::int64_t group_deconv_packed_size(Isa isa, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
                                      std::int64_t out_c, std::int64_t groups) {
  if (out_c == groups) return kh * kw * in_c;
  return groups * packed_panels_size<float>(select_group_deconv<T>(isa).panel,
                                            kh * kw * (in_c / groups), out_c / groups);
}

// One output per group: [kh][kw][in_c / groups][groups]. Otherwise each group's panels:
// [groups][ceil(outputs / panel)] [kh][kw][in_c / groups][panel].
template <class T>
void pack_group_deconv(Isa isa, const float* w, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
                       std::int64_t out_c, std::int64_t groups, float* packed) {
  const std::int64_t taps = kh * kw;
  const std::int64_t group_inputs = in_c / groups;
  const std::int64_t group_outputs = out_c / groups;
  if (group_outputs == 1) {
    for (std::int64_t tap = 0; tap < taps; ++tap) {
      for (std::int64_t c = 0; c < group_inputs; ++c) {
        for (std::int64_t g = 0; g < groups; ++g)
          *packed++ = widen(narrow<T>(w[(g * group_inputs + c) * taps + tap]));
      }
    }
    return;
  }
  const std::int64_t panel = select_group_deconv<T>(isa).panel;
  const std::int64_t group_size =
      packed_panels_size<float>(panel, taps * group_inputs, group_outputs);
  for (std::int64_t g = 0; g < groups; ++g) {
    const auto weight = [&](std::int64_t t, std::int64_t o) {
      const std::int64_t tap = t / group_inputs;
      const std::int64_t c = g * group_inputs + t % group_inputs;
      return widen(narrow<T>(w[(c * group_outputs + o) * taps + tap]));
    };
    pack_panels(panel, taps * group_inputs, group_outputs, weight, packed + g * group_size);
  }
}

template const PanelVariant<GroupDeconvFn<float>>& select_group_deconv<float>(Isa);
template const PanelVariant<GroupDeconvFn<Bfloat16>>& select_group_deconv<Bfloat16>(Isa);
template std::int64_t group_deconv_scratch_size<float>(std::int64_t, std::int64_t, std::int64_t,
                                                       std::int64_t, std::int64_t, std::int64_t,
                                                       std::int64_t);
template std::int64_t group_deconv_packed_size<float>(Isa, std::int64_t, std::int64_t, std::int64_t,
                                                      std::int64_t, std::int64_t);
template void pack_group_deconv<float>(Isa, const float*, std::int64_t, std::int64_t, std::int64_t,
                                       std::int64_t, std::int64_t, float*);
template std::int64_t group_deconv_scratch_size<Bfloat16>(std::int64_t, std::int64_t, std::int64_t,
                                                          std::int64_t, std::int64_t, std::int64_t,
                                                          std::int64_t);
template std::int64_t group_deconv_packed_size<Bfloat16>(Isa, std::int64_t, std::int64_t,
                                                         std::int64_t, std::int64_t, std::int64_t);
template void pack_group_deconv<Bfloat16>(Isa, const float*, std::int64_t, std::int64_t,
                                          std::int64_t, std::int64_t, std::int64_t, float*);

}  // namespace lpn
