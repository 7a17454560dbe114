// Bytes to floats and back, where an operation of one kind meets one of the other.
#include "engine/ops/cast.h"

#include <algorithm>
#include <utility>

#include "engine/plan/step_builder.h"

namespace lpn {
namespace {

class WideningStep final : public Step {
 public:
  WideningStep(Info info, const Cast& cast, RowChunks rows, std::int64_t row_size,
               const Quantization& quantization)
      : Step(std::move(info)),
        input_(cast.input),
        output_(cast.output),
        rows_(rows),
        row_size_(row_size),
        scale_(quantization.scale),
        zero_point_(quantization.zero_point) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int) const override {
    const std::int64_t end = rows_.end(chunk) * row_size_;
    const auto* in = context.tensor<std::uint8_t>(input_);
    auto* out = context.tensor<float>(output_);
    for (std::int64_t i = rows_.begin(chunk) * row_size_; i < end; ++i)
      out[i] = static_cast<float>(in[i] - zero_point_) * scale_;
  }

 private:
  const int input_, output_;
  const RowChunks rows_;
  const std::int64_t row_size_;
  const float scale_;
  const std::int32_t zero_point_;
};

class NarrowingStep final : public Step {
 public:
  NarrowingStep(Info info, const Cast& cast, RowChunks rows, std::int64_t row_size,
                const Quantization& quantization)
      : Step(std::move(info)),
        input_(cast.input),
        output_(cast.output),
        rows_(rows),
        row_size_(row_size),
        quantization_(quantization) {}

  // A NaN is 0.
  void run_chunk(const RunContext& context, std::int64_t chunk, int) const override {
    const std::int64_t end = rows_.end(chunk) * row_size_;
    const auto* in = context.tensor<float>(input_);
    auto* out = context.tensor<std::uint8_t>(output_);
    const auto zero = static_cast<float>(quantization_.zero_point);
    constexpr float kOnlyIntegers =
        8388608.0f;  // 2^23: the sum of it and a byte's number is rounded
    for (std::int64_t i = rows_.begin(chunk) * row_size_; i < end; ++i) {
      const float value = in[i] / quantization_.scale + zero;
      const float inside = value > 0 ? std::min(value, 255.0f) : 0.0f;
      out[i] = static_cast<std::uint8_t>((inside + kOnlyIntegers) - kOnlyIntegers);
    }
  }

 private:
  const int input_, output_;
  const RowChunks rows_;
  const std::int64_t row_size_;
  const Quantization quantization_;
};

class NormalisingStep final : public Step {
 public:
  NormalisingStep(Info info, const Cast& cast, RowChunks rows, std::int64_t row_length,
                  const PixelInput& pixels)
      : Step(std::move(info)),
        input_(cast.input),
        output_(cast.output),
        rows_(rows),
        row_length_(row_length),
        pixels_(pixels) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int) const override {
    const auto* in = context.tensor<std::uint8_t>(input_);
    auto* out = context.tensor<float>(output_);
    for (std::int64_t i = rows_.begin(chunk) * row_length_; i < rows_.end(chunk) * row_length_;
         ++i) {
      for (std::int64_t c = 0; c < 3; ++c) {
        const auto channel = static_cast<std::size_t>(c);
        out[3 * i + c] = static_cast<float>(in[3 * i + pixels_.channel_map[channel]]) *
                             static_cast<float>(pixels_.scale[channel]) +
                         static_cast<float>(pixels_.shift[channel]);
      }
    }
  }

 private:
  const int input_, output_;
  const RowChunks rows_;
  const std::int64_t row_length_;
  const PixelInput pixels_;
};

}  // namespace

std::unique_ptr<Step> Cast::make_step(StepBuilder& builder) const {
  constexpr double kRelativeCost = 16;  // a byte and a float of memory traffic
  const Shape& shape = builder.shape(output);
  Step::Info info;
  info.name = node->name;
  info.kernel = "cast";
  info.bytes = builder.traffic(*this, 0);
  const RowChunks rows = cut_rows(shape.h, kRelativeCost * static_cast<double>(shape.size()));
  info.chunks = rows.count();
  const std::int64_t row_size = shape.w * shape.c;
  const auto quantization = [&](int tensor) { return *builder.quantization(tensor); };
  if (builder.type(output) == DType::kU8) {
    return std::make_unique<NarrowingStep>(std::move(info), *this, rows, row_size,
                                           quantization(output));
  }
  if (input == 0) {
    return std::make_unique<NormalisingStep>(std::move(info), *this, rows, shape.w,
                                             *builder.graph.pixels);
  }
  return std::make_unique<WideningStep>(std::move(info), *this, rows, row_size,
                                        quantization(input));
}

}  // namespace lpn
