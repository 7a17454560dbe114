#include "pose/crop.h"

#include <algorithm>
#include <cassert>

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
