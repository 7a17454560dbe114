#include "simd/vec_avx512.h"

#include "kernels/crop_affine/crop_affine-inl.h"

namespace lpn {

void crop_affine_f32_avx512(const CropAffineArgs& args) { crop_affine(args); }

}  // namespace lpn
