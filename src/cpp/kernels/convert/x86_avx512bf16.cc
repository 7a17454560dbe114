#include "simd/vec_avx512.h"

#include "kernels/convert/convert-inl.h"

namespace lpn {

void convert_u8bf16_avx512bf16(const ConvertArgs<std::uint8_t, Bfloat16>& args) { convert(args); }
void convert_f32bf16_avx512bf16(const ConvertArgs<float, Bfloat16>& args) { convert(args); }

}  // namespace lpn
