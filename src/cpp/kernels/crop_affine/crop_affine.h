// Affine crop of a uint8 image with bilinear sampling and zero border, normalised to float.
#pragma once

#include <cstdint>

#include "kernels/variants.h"

namespace lpn {

// For output pixel (x, y): the source point is matrix * (x, y, 1); v[c] is the bilinear sample of
// image channel channel_map[c] there, with 0 outside the image (OpenCV warpAffine, INTER_LINEAR,
// BORDER_CONSTANT); out[y, x, c] = v[c] * scale[c] + shift[c]. Source coordinates are computed in
// double. Lanes are output pixels, so every tier with fma gives the same bits, whatever the rows. A
// mirrored crop holds the same pixels, the other way round along x.
struct CropAffineArgs {
  // (image_h, image_w, 3), at least one pixel; rows `row_stride` bytes apart. Never read outside.
  const std::uint8_t* image;
  std::int64_t image_h, image_w, row_stride;
  double matrix[6];  // row-major 2 x 3: destination pixel -> source pixel
  int channel_map[3];
  float scale[3], shift[3];
  float* out;  // output row `row_begin` of an (out_h, out_w, 3) map
  std::int64_t out_w;
  std::int64_t row_begin, row_end;
  bool mirrored = false;
};

using CropAffineFn = void (*)(const CropAffineArgs& args);

#define LPN_KERNEL(name, isa) void name(const CropAffineArgs& args);
#include "kernels/crop_affine/kernels.inc"
#undef LPN_KERNEL

const Variant<CropAffineFn>& select_crop_affine(Isa isa);

}  // namespace lpn
