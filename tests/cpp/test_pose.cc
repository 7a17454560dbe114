// A photograph's bytes and boxes to joints, without Python, against the same in double.
#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/cpu_features.h"
#include "engine/graph/graph.h"
#include "engine/run/compiled_model.h"
#include "model_runs.h"
#include "pose/estimate.h"
#include "test.h"

namespace lpn {
namespace {

constexpr std::int64_t kH = 64, kW = 48, kStride = 4, kBlock = kStride * kStride;
constexpr std::int64_t kMapH = kH / kStride, kMapW = kW / kStride;
constexpr std::int64_t kJoints = 3;
constexpr double kBeta = 5, kPadding = 1.25;
constexpr double kMean[3] = {0.4, 0.5, 0.3}, kStd[3] = {0.2, 0.25, 0.3};
constexpr int kChannelMap[3] = {2, 1, 0}, kMirrorIndex[kJoints] = {0, 2, 1};
constexpr std::int64_t kFlipShift = 1;

// Joints drawn as one spot each of a picture's first, second and third channel.
struct Spot {
  double x, y;
};
constexpr std::int64_t kImageH = 90, kImageW = 130, kPaddingBytes = 7;
constexpr Spot kSpots[3] = {{40.3, 30.8}, {57.0, 52.4}, {48.6, 66.1}};
constexpr double kSpotRadius = 7;
constexpr double kBoxes[] = {25, 18, 45, 60, 30.5, 20.25, 60, 50, -12, 5, 80, 79, 20, 10, 40, 90};
constexpr std::int64_t kPeople = 4;

// Exactly sized and without padding after the last row, so that AddressSanitizer sees stray reads.
struct Picture {
  Picture() : bytes(static_cast<std::size_t>((kImageH - 1) * kStrideBytes + 3 * kImageW), 255) {
    for (std::int64_t y = 0; y < kImageH; ++y)
      for (std::int64_t x = 0; x < kImageW; ++x)
        for (int c = 0; c < 3; ++c) at(y, x, c) = value(y, x, kSpots[c]);
  }

  static std::uint8_t value(std::int64_t y, std::int64_t x, const Spot& spot) {
    const double dx = static_cast<double>(x) - spot.x;
    const double dy = static_cast<double>(y) - spot.y;
    const double height = std::exp(-(dx * dx + dy * dy) / (2 * kSpotRadius * kSpotRadius));
    return static_cast<std::uint8_t>(200 * height + 0.5);
  }

  std::uint8_t& at(std::int64_t y, std::int64_t x, int c) {
    return bytes[static_cast<std::size_t>(y * kStrideBytes + 3 * x + c)];
  }
  // Black outside.
  double sample(std::int64_t y, std::int64_t x, int c) {
    return y < 0 || x < 0 || y >= kImageH || x >= kImageW ? 0.0 : static_cast<double>(at(y, x, c));
  }
  Image image() const { return {bytes.data(), kImageH, kImageW, kStrideBytes}; }

  static constexpr std::int64_t kStrideBytes = 3 * kImageW + kPaddingBytes;
  std::vector<std::uint8_t> bytes;
};

// Heatmap j is the mean of input channel j over blocks of 4 x 4.
Graph block_means() {
  const std::vector<std::int64_t> shape{kJoints, 3, kStride, kStride};
  Buffer<float> values(static_cast<std::size_t>(kJoints * 3 * kBlock));
  for (std::int64_t i = 0; i < kJoints * 3 * kBlock; ++i) {
    const bool own = i / (3 * kBlock) == i / kBlock % 3;
    values[static_cast<std::size_t>(i)] = own ? 1.0f / kBlock : 0.0f;
  }
  const Weight weight(shape, std::make_shared<const Buffer<float>>(std::move(values)));
  Graph graph;
  graph.add_input("image", 3);
  const std::map<std::string, AttributeValue> attributes{{"stride", kStride},
                                                         {"padding", std::int64_t{0}},
                                                         {"groups", std::int64_t{1}},
                                                         {"activation", std::string("none")}};
  graph.add_node("conv2d", "means", {"image"}, attributes, {{"weight", weight}});
  graph.add_output("means");
  return graph;
}

EstimateOptions make_options() {
  EstimateOptions options{};
  options.padding = kPadding;
  options.decode = {static_cast<float>(kBeta), false};
  for (int c = 0; c < 3; ++c) {
    const ByteScale of_byte = byte_scale(kMean[c], kStd[c]);
    options.normalisation.channel_map[c] = kChannelMap[c];
    options.normalisation.scale[c] = static_cast<float>(of_byte.scale);
    options.normalisation.shift[c] = static_cast<float>(of_byte.shift);
  }
  return options;
}

struct Joints {
  std::vector<float> coordinates, scores;
};

Joints estimate(int threads, Isa isa, const std::vector<double>& boxes, bool flipped) {
  const Picture picture;
  CompiledModel model(block_means(), threads, isa);
  const std::shared_ptr<PreparedPlan> plan = model.prepare(kH, kW);
  EstimateOptions options = make_options();
  const FlipOptions flip{kMirrorIndex, kFlipShift};
  if (flipped) options.flip = &flip;
  const std::size_t n = boxes.size() / 4;
  Joints joints{std::vector<float>(n * kJoints * 2), std::vector<float>(n * kJoints)};
  const bool finished =
      estimate_poses(model, *plan, picture.image(), boxes.data(), static_cast<std::int64_t>(n),
                     options, joints.coordinates.data(), joints.scores.data());
  EXPECT(finished, "nobody asked it to end");
  return joints;
}

std::vector<double> four_boxes() { return {kBoxes, kBoxes + 4 * kPeople}; }

// --- The same, written down once more in double ----------------------------------------------

struct Reference {
  explicit Reference(const double* box) {
    const double aspect = static_cast<double>(kW) / kH;
    const double width = std::max(box[2], box[3] * aspect) * kPadding;
    scale = width / kW;
    left = box[0] + box[2] / 2 - width / 2;
    top = box[1] + box[3] / 2 - width / aspect / 2;
  }

  // The normalised network channel j at crop pixel (y, x).
  double pixel(Picture& picture, std::int64_t y, std::int64_t x, int j) const {
    const double sx = left + scale * static_cast<double>(x);
    const double sy = top + scale * static_cast<double>(y);
    const auto x0 = static_cast<std::int64_t>(std::floor(sx));
    const auto y0 = static_cast<std::int64_t>(std::floor(sy));
    double value = 0;
    for (const std::int64_t dy : {0, 1})
      for (const std::int64_t dx : {0, 1})
        value += picture.sample(y0 + dy, x0 + dx, kChannelMap[j]) *
                 (1 - std::abs(sx - static_cast<double>(x0 + dx))) *
                 (1 - std::abs(sy - static_cast<double>(y0 + dy)));
    return (value / 255 - kMean[j]) / kStd[j];
  }

  // Row after row, of the crop or of its mirror image.
  std::vector<double> heatmap(Picture& picture, int j, bool mirrored) const {
    std::vector<double> map;
    for (std::int64_t y = 0; y < kMapH; ++y)
      for (std::int64_t x = 0; x < kMapW; ++x) {
        double sum = 0;
        for (std::int64_t i = 0; i < kBlock; ++i) {
          const std::int64_t column = x * kStride + i % kStride;
          sum += pixel(picture, y * kStride + i / kStride, mirrored ? kW - 1 - column : column, j);
        }
        map.push_back(sum / kBlock);
      }
    return map;
  }

  std::vector<double> averaged(Picture& picture, int j) const {
    std::vector<double> map = heatmap(picture, j, false);
    const std::vector<double> other = heatmap(picture, kMirrorIndex[j], true);
    for (std::int64_t y = 0; y < kMapH; ++y)
      for (std::int64_t x = 0; x < kMapW; ++x) {
        const std::int64_t before = x < kFlipShift ? x : x - kFlipShift;
        double& value = map[static_cast<std::size_t>(y * kMapW + x)];
        value = (value + other[static_cast<std::size_t>(y * kMapW + kMapW - 1 - before)]) / 2;
      }
    return map;
  }

  // The mean position under softmax(beta * map), in heatmap pixels.
  static Spot decode(const std::vector<double>& map) {
    double total = 0, x = 0, y = 0;
    const double top_value = *std::max_element(map.begin(), map.end());
    for (std::size_t i = 0; i < map.size(); ++i) {
      const double weight = std::exp(kBeta * (map[i] - top_value));
      total += weight;
      x += weight * static_cast<double>(i % kMapW);
      y += weight * static_cast<double>(i / kMapW);
    }
    return {x / total, y / total};
  }

  Spot to_image(const Spot& spot) const {
    return {left + spot.x * scale * kStride, top + spot.y * scale * kStride};
  }

  double scale, left, top;
};

// A crop's pixels, below 4, have four roundings and a block's sum as many as it has terms; the mean
// position moves by beta times twice that, times how far the peak's weight lies from it.
constexpr double kMapError = (kBlock + 4) * 4 * 0x1p-24;
constexpr double kPeakRadius = 3;
constexpr double kPlaceError = 2 * kBeta * kMapError * kPeakRadius;

void expect_reference(Isa isa, bool flipped) {
  const Joints found = estimate(2, isa, four_boxes(), flipped);
  Picture picture;
  for (std::int64_t person = 0; person < kPeople; ++person) {
    const Reference reference(kBoxes + 4 * person);
    for (int j = 0; j < kJoints; ++j) {
      const std::vector<double> map =
          flipped ? reference.averaged(picture, j) : reference.heatmap(picture, j, false);
      const Spot place = Reference::decode(map);
      const Spot expected = reference.to_image(place);
      const auto index = static_cast<std::size_t>(person * kJoints + j);
      const double dx = static_cast<double>(found.coordinates[2 * index]) - expected.x;
      const double dy = static_cast<double>(found.coordinates[2 * index + 1]) - expected.y;
      const double error = std::max(std::abs(dx), std::abs(dy)) / (reference.scale * kStride);
      EXPECT(error <= kPlaceError, isa_name(isa), " flip ", flipped, " person ", person, " joint ",
             j, " is ", error, " heatmap pixels off");
      const auto at =
          static_cast<std::size_t>(std::nearbyint(place.y) * kMapW + std::nearbyint(place.x));
      const double score = static_cast<double>(found.scores[index]);
      EXPECT(std::abs(score - map[at]) <= kMapError, isa_name(isa), " score ", score, ", expected ",
             map[at]);
    }
  }
}

}  // namespace

LPN_TEST(estimate_poses_gives_what_the_formulas_say) {
  for (const Isa isa : supported_isas())
    for (const bool flipped : {false, true}) expect_reference(isa, flipped);
}

LPN_TEST(estimate_poses_finds_what_was_drawn) {
  const Joints found = estimate(1, default_isa(), four_boxes(), false);
  for (std::int64_t person = 0; person < kPeople; ++person) {
    const double heatmap_pixel = Reference(kBoxes + 4 * person).scale * kStride;
    for (std::size_t j = 0; j < kJoints; ++j) {
      const std::size_t index = static_cast<std::size_t>(person) * kJoints + j;
      // A block's mean stands for its middle, one and a half crop pixels from its corner.
      const double offset = 1.5 * heatmap_pixel / kStride;
      const Spot& spot = kSpots[kChannelMap[j]];
      const double dx = static_cast<double>(found.coordinates[2 * index]) + offset - spot.x;
      const double dy = static_cast<double>(found.coordinates[2 * index + 1]) + offset - spot.y;
      EXPECT(std::hypot(dx, dy) < heatmap_pixel / 4, "person ", person, " joint ", j, " off by ",
             dx, ", ", dy);
    }
  }
}

LPN_TEST(estimate_poses_does_not_depend_on_threads_or_crowds) {
  for (const bool flipped : {false, true}) {
    const Joints few = estimate(1, default_isa(), four_boxes(), flipped);
    std::vector<double> crowd;
    for (int i = 0; i < 21; ++i) crowd.insert(crowd.end(), kBoxes, kBoxes + 4 * kPeople);
    for (const int threads : {1, 3}) {
      const Joints many = estimate(threads, default_isa(), crowd, flipped);
      const std::size_t size = few.coordinates.size();
      for (std::size_t i = 0; i < many.coordinates.size(); i += size) {
        const std::vector<float> part(
            many.coordinates.begin() + static_cast<std::ptrdiff_t>(i),
            many.coordinates.begin() + static_cast<std::ptrdiff_t>(i + size));
        EXPECT(test::same_bits(part, few.coordinates), threads, " threads, value ", i);
      }
    }
    EXPECT(estimate(2, default_isa(), {}, flipped).scores.empty(), "nobody was asked for");
  }
}

LPN_TEST(estimate_poses_ends_when_asked_to) {
  const Picture picture;
  CompiledModel model(block_means(), 2, default_isa());
  const std::shared_ptr<PreparedPlan> plan = model.prepare(kH, kW);
  std::vector<float> coordinates(kPeople * kJoints * 2), scores(kPeople * kJoints);
  std::atomic<int> asked{0};
  const auto stop = [&asked] { return ++asked > 2; };
  EXPECT(!estimate_poses(model, *plan, picture.image(), kBoxes, kPeople, make_options(),
                         coordinates.data(), scores.data(), stop),
         "it was asked ", asked, " times");
}

}  // namespace lpn
