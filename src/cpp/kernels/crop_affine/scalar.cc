#include "simd/vec_scalar.h"

#include "kernels/crop_affine/crop_affine-inl.h"

namespace lpn {

void crop_affine_f32_scalar(const CropAffineArgs& args) { crop_affine(args); }

}  // namespace lpn
