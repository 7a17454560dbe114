#include "pose/heatmaps.h"

#include <algorithm>
#include <cassert>

#include "base/buffer.h"

namespace lpn {
namespace {

// Planes are this much further apart than they are long: planes a multiple of 4 KiB apart, as those
// of a 64 x 48 map are, would all want the same places of the cache.
constexpr std::int64_t kPlaneGap = 16;

// Joints of one image: [begin, end).
struct Joints {
  std::int64_t begin, end;
};

// planes[c - begin] = map[..., c].
void split_channels(const float* map, std::int64_t positions, std::int64_t k, const Joints& joints,
                    std::int64_t stride, float* planes) {
  for (std::int64_t position = 0; position < positions; ++position, map += k) {
    float* out = planes + position;
    for (std::int64_t c = joints.begin; c < joints.end; ++c, out += stride) *out = map[c];
  }
}

// As above, of the average with the mirrored crop's map.
void split_average(const Heatmaps& maps, const float* map, const FlipTest& flip,
                   const float* mirrored, const Joints& joints, std::int64_t stride,
                   float* planes) {
  for (std::int64_t y = 0; y < maps.h; ++y) {
    for (std::int64_t x = 0; x < maps.w; ++x, map += maps.k) {
      const std::int64_t from = maps.w - 1 - (x < flip.shift ? x : x - flip.shift);
      const float* other = mirrored + (y * maps.w + from) * maps.k;
      float* out = planes + y * maps.w + x;
      for (std::int64_t c = joints.begin; c < joints.end; ++c, out += stride)
        *out = (other[flip.mirror_index[c]] + map[c]) * 0.5f;
    }
  }
}

}  // namespace

void decode_heatmaps(const Heatmaps& maps, const FlipTest* flip, const DecodeOptions& options,
                     Isa isa, ThreadPool& pool, float* coordinates, float* scores) {
  if (maps.n == 0) return;
  assert(flip == nullptr || (maps.channels_last && flip->shift >= 0 && flip->shift < maps.w));
  const HeatmapDecoder decode = make_decoder(isa, maps.h, maps.w, options);
  const std::int64_t positions = maps.h * maps.w;
  const std::int64_t stride = maps.channels_last ? positions + kPlaneGap : positions;
  // Every chunk reads all of its image's map, whatever its joints: no more chunks than threads.
  const std::int64_t chunks_per_image = std::min(maps.k, (pool.threads() + maps.n - 1) / maps.n);
  pool.parallel_for(maps.n * chunks_per_image, [&](std::int64_t chunk, int) {
    const std::int64_t image = chunk / chunks_per_image;
    const std::int64_t part = chunk % chunks_per_image;
    const Joints joints{part * maps.k / chunks_per_image, (part + 1) * maps.k / chunks_per_image};
    const float* map = maps.data + image * positions * maps.k;
    Buffer<float> split;
    const float* planes = map + joints.begin * positions;
    if (maps.channels_last) {
      split = Buffer<float>(static_cast<std::size_t>((joints.end - joints.begin) * stride));
      if (flip == nullptr) {
        split_channels(map, positions, maps.k, joints, stride, split.data());
      } else {
        const float* mirrored = flip->mirrored + image * positions * maps.k;
        split_average(maps, map, *flip, mirrored, joints, stride, split.data());
      }
      planes = split.data();
    }
    for (std::int64_t joint = joints.begin; joint < joints.end; ++joint, planes += stride) {
      const std::int64_t index = image * maps.k + joint;
      decode(planes, coordinates + 2 * index, scores + index);
    }
  });
}

}  // namespace lpn
