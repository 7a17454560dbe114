#include "pose/estimate.h"

#include <algorithm>
#include <cassert>
#include <vector>

#include "base/buffer.h"
#include "pose/heatmaps.h"
#include "pose/region.h"

namespace lpn {
namespace {

constexpr std::int64_t kPeoplePerRun = 32;  // bounds the memory of a crowd's heatmaps

// The heatmaps of people's crops to `maps`, with `mirrored_too` followed by those of the mirrored
// crops.
bool run_regions(CompiledModel& model, PreparedPlan& plan, const Image& image,
                 const Normalisation& normalisation, const std::vector<Region>& regions,
                 bool mirrored_too, const std::function<bool()>& stop, float* maps) {
  const Shape& input = plan.plan().input();
  const auto n = static_cast<std::int64_t>(regions.size());
  const CropAffineFn crop = select_crop_affine(model.isa()).run;
  const PixelInput* const pixels = plan.plan().pixels();
  const CropAffineArgs shared = crop_args(
      image,
      pixels == nullptr ? normalisation : bytes_of_pixels(normalisation, pixels->channel_map),
      input.w);
  Batch batch;
  batch.n = mirrored_too ? 2 * n : n;
  batch.stop = stop;
  batch.fill = [&](std::int64_t entry, std::int64_t begin, std::int64_t end, void* rows) {
    CropAffineArgs args = shared;
    const Region& region = regions[static_cast<std::size_t>(entry % n)];
    raster_to_image(region, static_cast<double>(input.h), static_cast<double>(input.w),
                    args.matrix);
    args.mirrored = entry >= n;
    args.row_begin = begin;
    args.row_end = end;
    if (pixels != nullptr) return crop_to_bytes(crop, args, static_cast<std::uint8_t*>(rows));
    args.out = static_cast<float*>(rows);
    crop(args);
  };
  return model.run(plan, batch, maps);
}

}  // namespace

bool estimate_poses(CompiledModel& model, PreparedPlan& plan, const Image& image,
                    const double* boxes, std::int64_t n, const EstimateOptions& options,
                    float* coordinates, float* scores, const std::function<bool()>& stop) {
  const Shape& input = plan.plan().input();
  const Shape& output = plan.plan().outputs().front();
  assert(input.c == 3);
  const double aspect = static_cast<double>(input.w) / static_cast<double>(input.h);
  const std::int64_t maps_per_person = options.flip == nullptr ? 1 : 2;
  Buffer<float> maps(
      static_cast<std::size_t>(std::min(n, kPeoplePerRun) * maps_per_person * output.size()));
  for (std::int64_t begin = 0; begin < n; begin += kPeoplePerRun) {
    const std::int64_t count = std::min(n - begin, kPeoplePerRun);
    std::vector<Region> regions;
    for (std::int64_t person = begin; person < begin + count; ++person)
      regions.push_back(grow_box(boxes + 4 * person, aspect, options.padding));
    if (!run_regions(model, plan, image, options.normalisation, regions, options.flip != nullptr,
                     stop, maps.data()))
      return false;
    FlipTest flip{};
    if (options.flip != nullptr) {
      flip = {maps.data() + count * output.size(), options.flip->mirror_index, options.flip->shift};
    }
    decode_heatmaps({maps.data(), true, count, output.c, output.h, output.w},
                    options.flip == nullptr ? nullptr : &flip, options.decode, model.isa(),
                    model.pool(), coordinates, scores);
    for (const Region& region : regions) {
      for (std::int64_t joint = 0; joint < output.c; ++joint, coordinates += 2)
        move_to_image(region, static_cast<double>(output.h), static_cast<double>(output.w),
                      coordinates);
    }
    scores += count * output.c;
  }
  return true;
}

}  // namespace lpn
