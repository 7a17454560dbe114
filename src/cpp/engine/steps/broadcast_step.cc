// An attention block's vector onto every position, where no convolution's epilogue could do it: x +
// vector for a GC block, x * vector for an SE block.
#include "engine/step_builder.h"

namespace lpn {
namespace {

class BroadcastStep final : public Step {
 public:
  BroadcastStep(Info info, const Operation& operation, RowChunks rows, const Shape& shape)
      : Step(std::move(info)), operation_(operation), rows_(rows), shape_(shape) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int) const override {
    const float* vector = context.tensor(operation_.vector);
    const bool gate = operation_.attention->kind == NodeKind::kSeBlock;
    const std::int64_t end = rows_.end(chunk) * shape_.w;
    for (std::int64_t position = rows_.begin(chunk) * shape_.w; position < end; ++position) {
      const float* x = context.tensor(operation_.input) + position * shape_.c;
      float* out = context.tensor(operation_.output) + position * shape_.c;
      for (std::int64_t c = 0; c < shape_.c; ++c)
        out[c] = gate ? x[c] * vector[c] : x[c] + vector[c];
    }
  }

 private:
  const Operation operation_;
  const RowChunks rows_;
  const Shape shape_;
};

}  // namespace

std::unique_ptr<Step> make_broadcast_step(const Operation& operation, StepBuilder& builder) {
  constexpr double kRelativeCost = 32;  // as of an addition
  const Shape& out = builder.shape(operation.output);
  Step::Info info;
  info.name = operation.node->name;
  info.kernel = "broadcast";
  info.isa = Isa::kScalar;
  info.flops = static_cast<double>(out.size());
  info.bytes = builder.traffic(operation, 0);
  const RowChunks rows = cut_rows(out.h, kRelativeCost * info.flops);
  info.chunks = rows.count();
  return std::make_unique<BroadcastStep>(std::move(info), operation, rows, out);
}

}  // namespace lpn
