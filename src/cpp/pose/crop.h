// From a photograph's pixels to a network's input.
#pragma once

#include <cstdint>
#include <vector>

#include "base/isa.h"
#include "base/thread_pool.h"
#include "kernels/crop_affine/crop_affine.h"
#include "pose/image.h"

namespace lpn {

// The input's channel c is v[channel_map[c]] * scale[c] + shift[c] of a pixel v; channel_map holds
// 0, 1 and 2 in any order or number, the others finite numbers.
struct Normalisation {
  int channel_map[3];
  float scale[3], shift[3];
};

// (v / 255 - mean) / std of a byte v is v * scale + shift.
struct ByteScale {
  double scale, shift;
};

inline ByteScale byte_scale(double mean, double std) { return {1.0 / (255.0 * std), -mean / std}; }

// What all crops of an image that are `width` wide share of the kernel's arguments.
CropAffineArgs crop_args(const Image& image, const Normalisation& normalisation,
                         std::int64_t width);

// What crops the bytes themselves: channel p of a crop is the one of an image that network channel
// c with pixel_channels[c] == p is made of.
Normalisation bytes_of_pixels(const Normalisation& normalisation,
                              const std::vector<int>& pixel_channels);

// The rows of args, made with bytes_of_pixels(), rounded to bytes, half to even.
void crop_to_bytes(CropAffineFn crop, CropAffineArgs args, std::uint8_t* out);

// n crops, h x w each, to out (n, h, w, 3): by the kernel's formula, crop i with matrices[i] of
// (n, 2, 3) finite numbers. Which thread computes a row does not show in the result.
void crop_images(const Image& image, const Normalisation& normalisation, const double* matrices,
                 std::int64_t n, std::int64_t h, std::int64_t w, Isa isa, ThreadPool& pool,
                 float* out);

}  // namespace lpn
