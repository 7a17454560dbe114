// Pooling to partial sums of the channels.
#include "engine/ops/attention.h"
#include "engine/plan/step_builder.h"
#include "kernels/se_gate/se_gate.h"

namespace lpn {
namespace {

class ChannelSums final : public Pooling {
 public:
  ChannelSums(const Variant<ChannelSumFn>& variant, std::int64_t channels)
      : Pooling({variant.name, variant.isa, channels}), run_(variant.run), channels_(channels) {}

  void run(const float* x, std::int64_t positions, float* partial, float*) const override {
    run_(ChannelSumArgs{x, positions, channels_, partial});
  }

 private:
  const ChannelSumFn run_;
  const std::int64_t channels_;
};

}  // namespace

std::shared_ptr<const Pooling> MeanPool::make_pooling(std::int64_t channels,
                                                      StepBuilder& builder) const {
  return std::make_shared<const ChannelSums>(select_channel_sum(builder.isa), channels);
}

}  // namespace lpn
