// An attention block's vector onto every position, where no convolution's epilogue could do it: x +
// vector, or x * vector.
#include "base/bfloat16.h"
#include "engine/ops/attention.h"
#include "engine/plan/step_builder.h"

namespace lpn {
namespace {

template <class T>
class BroadcastStep final : public Step {
 public:
  BroadcastStep(Info info, const Broadcast& operation, RowChunks rows, const Shape& shape,
                std::int64_t input_stride, std::int64_t output_stride)
      : Step(std::move(info)),
        input_(operation.input),
        output_(operation.output),
        vector_(operation.vector),
        rows_(rows),
        shape_(shape),
        input_stride_(input_stride),
        output_stride_(output_stride) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int) const override {
    const float* vector = context.tensor<float>(vector_.tensor);
    const bool scale = vector_.use == VectorUse::kScale;
    const std::int64_t end = rows_.end(chunk) * shape_.w;
    for (std::int64_t position = rows_.begin(chunk) * shape_.w; position < end; ++position) {
      const T* x = context.tensor<T>(input_) + position * input_stride_;
      T* out = context.tensor<T>(output_) + position * output_stride_;
      for (std::int64_t c = 0; c < shape_.c; ++c) {
        const float value = widen(x[c]);
        out[c] = narrow<T>(scale ? value * vector[c] : value + vector[c]);
      }
    }
  }

 private:
  const int input_, output_;
  const ChannelVector vector_;
  const RowChunks rows_;
  const Shape shape_;
  const std::int64_t input_stride_, output_stride_;
};

}  // namespace

std::unique_ptr<Step> Broadcast::make_step(StepBuilder& builder) const {
  constexpr double kRelativeCost = 32;  // as of an addition
  const Shape& out = builder.shape(output);
  Step::Info info;
  info.name = node->name;
  info.kernel = "broadcast";
  info.isa = Isa::kScalar;
  info.flops = static_cast<double>(out.size());
  info.bytes = builder.traffic(*this, 0);
  const RowChunks rows = cut_rows(out.h, kRelativeCost * info.flops);
  info.chunks = rows.count();
  return with_elements(builder.type(output), [&](auto zero) -> std::unique_ptr<Step> {
    return std::make_unique<BroadcastStep<decltype(zero)>>(
        std::move(info), *this, rows, out, builder.row_stride(input), builder.row_stride(output));
  });
}

}  // namespace lpn
