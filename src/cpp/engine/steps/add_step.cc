// The sum of two maps where no convolution's epilogue could do it. Plain C++: no network of
// interest spends time here.
#include "engine/step_builder.h"

namespace lpn {
namespace {

// Written so that a NaN stays one.
float activate(float value, Activation activation) {
  if (activation == Activation::kNone) return value;
  value = value < 0.0f ? 0.0f : value;
  return activation == Activation::kRelu6 && value > 6.0f ? 6.0f : value;
}

class AddStep final : public Step {
 public:
  AddStep(Info info, const Operation& operation, RowChunks rows, std::int64_t row_size)
      : Step(std::move(info)), operation_(operation), rows_(rows), row_size_(row_size) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int) const override {
    const float* a = context.tensor(operation_.input);
    const float* b = context.tensor(operation_.residual);
    float* out = context.tensor(operation_.output);
    const std::int64_t end = rows_.end(chunk) * row_size_;
    for (std::int64_t i = rows_.begin(chunk) * row_size_; i < end; ++i)
      out[i] = activate(a[i] + b[i], operation_.activation);
  }

 private:
  const Operation operation_;
  const RowChunks rows_;
  const std::int64_t row_size_;
};

}  // namespace

std::unique_ptr<Step> make_add_step(const Operation& operation, StepBuilder& builder) {
  constexpr double kRelativeCost = 32;  // three floats of memory traffic each
  const Shape& out = builder.shape(operation.output);
  Step::Info info;
  info.name = operation.node->name;
  info.kernel = "add";
  info.isa = Isa::kScalar;
  info.flops = static_cast<double>(out.size());
  info.bytes = builder.traffic(operation, 0);
  const RowChunks rows = cut_rows(out.h, kRelativeCost * info.flops);
  info.chunks = rows.count();
  return std::make_unique<AddStep>(std::move(info), operation, rows, out.w * out.c);
}

}  // namespace lpn
