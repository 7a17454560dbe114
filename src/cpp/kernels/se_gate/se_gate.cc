#include "kernels/se_gate/se_gate.h"

namespace lpn {
namespace {

template <class T>
const Variant<ChannelSumFn<T>> kSumVariants[] = {
#define LPN_KERNEL(type, sum, gate, isa) variant_of<ChannelSumFn<T>>(Isa::isa, #sum, sum),
#include "kernels/se_gate/kernels.inc"
#undef LPN_KERNEL
};

const Variant<SeGateFn> kGateVariants[] = {
#define LPN_KERNEL(type, sum, gate, isa) {Isa::isa, #gate, gate},
#include "kernels/se_gate/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

template <class T>
const Variant<ChannelSumFn<T>>& select_channel_sum(Isa isa) {
  return select_variant(kSumVariants<T>, isa);
}
template const Variant<ChannelSumFn<float>>& select_channel_sum<float>(Isa isa);
template const Variant<ChannelSumFn<Bfloat16>>& select_channel_sum<Bfloat16>(Isa isa);
template const Variant<ChannelSumFn<std::uint8_t>>& select_channel_sum<std::uint8_t>(Isa isa);

const Variant<SeGateFn>& select_se_gate(Isa isa) { return select_variant(kGateVariants, isa); }

void merge_channel_sums(const float* partials, std::int64_t count, std::int64_t c,
                        std::int64_t positions, float* mean) {
  for (std::int64_t j = 0; j < c; ++j) {
    double sum = 0;
    for (std::int64_t i = 0; i < count; ++i) sum += static_cast<double>(partials[i * c + j]);
    mean[j] = static_cast<float>(sum / static_cast<double>(positions));
  }
}

}  // namespace lpn
