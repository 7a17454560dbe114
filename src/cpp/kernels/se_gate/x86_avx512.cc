#include "simd/vec_avx512.h"

#include "kernels/se_gate/se_gate-inl.h"

namespace lpn {

void channel_sum_f32_avx512(const ChannelSumArgs<float>& args) { channel_sum(args); }
void channel_sum_bf16_avx512(const ChannelSumArgs<Bfloat16>& args) { channel_sum(args); }
void channel_sum_u8_avx512(const ChannelSumArgs<std::uint8_t>& args) { channel_sum(args); }
void se_gate_f32_avx512(const SeGateArgs& args) { se_gate(args); }

}  // namespace lpn
