// Bytes to floats and back, where an operation of one kind meets one of the other.
#include "engine/ops/cast.h"

#include <utility>

#include "engine/plan/step_builder.h"
#include "kernels/convert/convert.h"

namespace lpn {
namespace {

template <class In, class Out>
class ConvertStep final : public Step {
 public:
  ConvertStep(Info info, const Cast& cast, ConvertFn<In, Out> run, RowChunks rows,
              std::int64_t row_size, const Quantization& quantization)
      : Step(std::move(info)),
        input_(cast.input),
        output_(cast.output),
        run_(run),
        rows_(rows),
        row_size_(row_size),
        quantization_(quantization) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int) const override {
    const std::int64_t begin = rows_.begin(chunk) * row_size_;
    const std::int64_t end = rows_.end(chunk) * row_size_;
    run_({context.tensor<In>(input_) + begin, context.tensor<Out>(output_) + begin, end - begin,
          quantization_.scale, static_cast<float>(quantization_.zero_point)});
  }

 private:
  const int input_, output_;
  const ConvertFn<In, Out> run_;
  const RowChunks rows_;
  const std::int64_t row_size_;
  const Quantization quantization_;
};

class NormaliseStep final : public Step {
 public:
  NormaliseStep(Info info, const Cast& cast, RowChunks rows, std::int64_t row_length,
                const PixelInput& pixels)
      : Step(std::move(info)),
        input_(cast.input),
        output_(cast.output),
        rows_(rows),
        row_length_(row_length),
        pixels_(pixels) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int) const override {
    const std::int64_t end = rows_.end(chunk) * row_length_;
    for (std::int64_t i = rows_.begin(chunk) * row_length_; i < end; ++i) {
      const std::uint8_t* pixel = context.tensor<std::uint8_t>(input_) + 3 * i;
      float* out = context.tensor<float>(output_) + 3 * i;
      for (std::size_t c = 0; c < 3; ++c) {
        out[c] = static_cast<float>(pixel[pixels_.channel_map[c]]) *
                     static_cast<float>(pixels_.scale[c]) +
                 static_cast<float>(pixels_.shift[c]);
      }
    }
  }

 private:
  const int input_, output_;
  const RowChunks rows_;
  const std::int64_t row_length_;
  const PixelInput pixels_;
};

template <class In, class Out>
std::unique_ptr<Step> make_convert(const Cast& cast, StepBuilder& builder, Step::Info info,
                                   const RowChunks& rows, const Quantization& quantization) {
  const Variant<ConvertFn<In, Out>>& variant = select_convert<In, Out>(builder.isa);
  info.kernel = variant.name;
  info.isa = variant.isa;
  const Shape& shape = builder.shape(cast.output);
  return std::make_unique<ConvertStep<In, Out>>(std::move(info), cast, variant.run, rows,
                                                shape.w * shape.c, quantization);
}

}  // namespace

std::unique_ptr<Step> Cast::make_step(StepBuilder& builder) const {
  constexpr double kRelativeCost = 16;  // a byte and a float of memory traffic
  const Shape& shape = builder.shape(output);
  Step::Info info;
  info.name = node->name;
  info.bytes = builder.traffic(*this, 0);
  const RowChunks rows = cut_rows(shape.h, kRelativeCost * static_cast<double>(shape.size()));
  info.chunks = rows.count();
  if (builder.type(output) == DType::kU8) {
    return make_convert<float, std::uint8_t>(*this, builder, std::move(info), rows,
                                             *builder.quantization(output));
  }
  if (const std::optional<Quantization> quantization = builder.quantization(input)) {
    return make_convert<std::uint8_t, float>(*this, builder, std::move(info), rows, *quantization);
  }
  info.kernel = "normalise";
  return std::make_unique<NormaliseStep>(std::move(info), *this, rows, shape.w,
                                         *builder.graph.pixels);
}

}  // namespace lpn
