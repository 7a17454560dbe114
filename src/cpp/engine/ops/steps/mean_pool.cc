// Pooling to partial sums of the channels.
#include "engine/ops/attention.h"
#include "engine/plan/step_builder.h"
#include "kernels/se_gate/se_gate.h"

namespace lpn {
namespace {

template <class T>
class ChannelSums final : public Pooling {
 public:
  ChannelSums(const Variant<ChannelSumFn<T>>& variant, std::int64_t channels)
      : Pooling({variant.name, variant.isa, channels}), run_(variant.run), channels_(channels) {}

  void run(const void* x, std::int64_t positions, float* partial, float*) const override {
    run_(ChannelSumArgs<T>{static_cast<const T*>(x), positions, channels_, partial});
  }

 private:
  const ChannelSumFn<T> run_;
  const std::int64_t channels_;
};

}  // namespace

std::shared_ptr<const Pooling> MeanPool::make_pooling(std::int64_t channels,
                                                      StepBuilder& builder) const {
  return with_any_elements(builder.type(input), [&](auto zero) -> std::shared_ptr<const Pooling> {
    using T = decltype(zero);
    return std::make_shared<const ChannelSums<T>>(select_channel_sum<T>(builder.isa), channels);
  });
}

}  // namespace lpn
