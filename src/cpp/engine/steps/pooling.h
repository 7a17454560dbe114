// An attention block's pooling of one chunk of rows into its partial.
#pragma once

#include <cstdint>

#include "engine/step_builder.h"
#include "kernels/gc_pool/gc_pool.h"
#include "kernels/se_gate/se_gate.h"

namespace lpn {

class Pooling {
 public:
  // For `operation`'s attention block over its `pooled` tensor in `chunks` chunks of at most
  // `positions` pixels; declares the partials to the builder.
  Pooling(const Operation& operation, int pooled, std::int64_t chunks, std::int64_t positions,
          StepBuilder& builder);

  const char* kernel() const { return kernel_; }
  Isa isa() const { return isa_; }
  double flops_per_position() const { return 4.0 * static_cast<double>(channels_); }
  std::int64_t weight_count() const { return mask_ == nullptr ? 0 : channels_; }
  std::int64_t scratch() const { return scratch_; }

  // x: `positions` pixels, the rows of chunk number `chunk`.
  void run(const float* x, std::int64_t positions, std::int64_t chunk, float* partials,
           float* scratch) const;

 private:
  std::int64_t channels_;
  std::int64_t scratch_;
  std::int64_t partial_size_;
  const float* mask_ = nullptr;
  GcPoolFn gc_pool_ = nullptr;
  ChannelSumFn channel_sum_ = nullptr;
  const char* kernel_;
  Isa isa_;
};

}  // namespace lpn
