#include "simd/vec_scalar.h"

#include "kernels/convert/convert-inl.h"

namespace lpn {

void convert_u8f32_scalar(const ConvertArgs<std::uint8_t, float>& args) { convert(args); }
void convert_f32u8_scalar(const ConvertArgs<float, std::uint8_t>& args) { convert(args); }
void convert_u8bf16_scalar(const ConvertArgs<std::uint8_t, Bfloat16>& args) { convert(args); }
void convert_bf16u8_scalar(const ConvertArgs<Bfloat16, std::uint8_t>& args) { convert(args); }
void convert_bf16f32_scalar(const ConvertArgs<Bfloat16, float>& args) { convert(args); }
void convert_f32bf16_scalar(const ConvertArgs<float, Bfloat16>& args) { convert(args); }

}  // namespace lpn
