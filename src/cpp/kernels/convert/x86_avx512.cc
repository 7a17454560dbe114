#include "simd/vec_avx512.h"

#include "kernels/convert/convert-inl.h"

namespace lpn {

void convert_u8f32_avx512(const ConvertArgs<std::uint8_t, float>& args) { convert(args); }
void convert_f32u8_avx512(const ConvertArgs<float, std::uint8_t>& args) { convert(args); }
void convert_u8bf16_avx512(const ConvertArgs<std::uint8_t, Bfloat16>& args) { convert(args); }
void convert_bf16u8_avx512(const ConvertArgs<Bfloat16, std::uint8_t>& args) { convert(args); }
void convert_bf16f32_avx512(const ConvertArgs<Bfloat16, float>& args) { convert(args); }
void convert_f32bf16_avx512(const ConvertArgs<float, Bfloat16>& args) { convert(args); }

}  // namespace lpn
