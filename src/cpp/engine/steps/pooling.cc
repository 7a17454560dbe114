#include "engine/steps/pooling.h"

#include "engine/attention_weights.h"

namespace lpn {

Pooling::Pooling(const Operation& operation, int pooled, std::int64_t chunks,
                 std::int64_t positions, StepBuilder& builder) {
  const Shape& shape = builder.shape(pooled);
  const auto partials = static_cast<std::size_t>(operation.partials);
  channels_ = shape.c;
  if (operation.attention->kind == NodeKind::kGcBlock) {
    const Variant<GcPoolFn>& variant = select_gc_pool(builder.isa);
    gc_pool_ = variant.run;
    kernel_ = variant.name;
    isa_ = variant.isa;
    mask_ = gc_mask(*operation.attention, operation.projection, builder.weights);
    scratch_ = positions;  // the logits
    partial_size_ = 2 + channels_;
  } else {
    const Variant<ChannelSumFn>& variant = select_channel_sum(builder.isa);
    channel_sum_ = variant.run;
    kernel_ = variant.name;
    isa_ = variant.isa;
    scratch_ = 0;
    partial_size_ = channels_;
  }
  builder.sizes[partials] = chunks * partial_size_;
  builder.pooled[partials] = {chunks, shape.positions(), channels_};
}

void Pooling::run(const float* x, std::int64_t positions, std::int64_t chunk, float* partials,
                  float* scratch) const {
  float* partial = partials + chunk * partial_size_;
  if (gc_pool_ != nullptr) {
    gc_pool_(GcPoolArgs{x, positions, channels_, mask_, scratch, partial});
  } else {
    channel_sum_(ChannelSumArgs{x, positions, channels_, partial});
  }
}

}  // namespace lpn
