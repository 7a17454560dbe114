#include "pose/crop.h"

#include <algorithm>
#include <cassert>
#include <cstddef>

#include "base/buffer.h"

namespace lpn {

CropAffineArgs crop_args(const Image& image, const Normalisation& normalisation,
                         std::int64_t width) {
  assert(image.h >= 1 && image.w >= 1);
  CropAffineArgs args{};
  args.image = image.pixels;
  args.image_h = image.h;
  args.image_w = image.w;
  args.row_stride = image.row_stride;
  std::copy_n(normalisation.channel_map, 3, args.channel_map);
  std::copy_n(normalisation.scale, 3, args.scale);
  std::copy_n(normalisation.shift, 3, args.shift);
  args.out_w = width;
  return args;
}

Normalisation bytes_of_pixels(const Normalisation& normalisation,
                              const std::vector<int>& pixel_channels) {
  Normalisation bytes{{0, 1, 2}, {1, 1, 1}, {0, 0, 0}};
  for (std::size_t c = 0; c < pixel_channels.size(); ++c)
    bytes.channel_map[pixel_channels[c]] = normalisation.channel_map[c];
  return bytes;
}

void crop_to_bytes(CropAffineFn crop, CropAffineArgs args, std::uint8_t* out) {
  constexpr float kOnlyIntegers = 8388608.0f;  // 2^23: the sum of it and a byte's number is rounded
  Buffer<float> row(static_cast<std::size_t>(3 * args.out_w));
  const std::int64_t end = args.row_end;
  args.out = row.data();
  for (; args.row_begin < end; ++args.row_begin) {
    args.row_end = args.row_begin + 1;
    crop(args);
    for (std::int64_t i = 0; i < 3 * args.out_w; ++i)
      *out++ = static_cast<std::uint8_t>((row.data()[i] + kOnlyIntegers) - kOnlyIntegers);
  }
}

void crop_images(const Image& image, const Normalisation& normalisation, const double* matrices,
                 std::int64_t n, std::int64_t h, std::int64_t w, Isa isa, ThreadPool& pool,
                 float* out) {
  constexpr std::int64_t kRowsPerChunk = 32;
  const CropAffineFn run = select_crop_affine(isa).run;
  const CropAffineArgs shared = crop_args(image, normalisation, w);
  const std::int64_t chunks_per_crop = (h + kRowsPerChunk - 1) / kRowsPerChunk;
  pool.parallel_for(n * chunks_per_crop, [&](std::int64_t chunk, int) {
    const std::int64_t crop = chunk / chunks_per_crop;
    CropAffineArgs args = shared;
    args.row_begin = chunk % chunks_per_crop * kRowsPerChunk;
    args.row_end = std::min(h, args.row_begin + kRowsPerChunk);
    std::copy_n(matrices + 6 * crop, 6, args.matrix);
    args.out = out + (crop * h + args.row_begin) * w * 3;
    run(args);
  });
}

}  // namespace lpn
