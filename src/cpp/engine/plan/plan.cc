#include "engine/plan/plan.h"

#include <algorithm>
#include <iterator>

#include "base/buffer.h"
#include "base/float_environment.h"
#include "engine/passes/passes.h"
#include "engine/plan/step_builder.h"

namespace lpn {
namespace {

// Gives back what packing took, also where it failed.
class Packing {
 public:
  explicit Packing(WeightStore& weights) : weights_(weights) {}
  ~Packing() { weights_.release_widening_memory(); }
  Packing(const Packing&) = delete;
  Packing& operator=(const Packing&) = delete;

 private:
  WeightStore& weights_;
};

}  // namespace

Plan::Plan(const Graph& graph, std::int64_t h, std::int64_t w, Isa isa, Precision precision,
           WeightStore& weights) {
  const DefaultFloatEnvironment environment;  // the plan outlives its maker's mode
  const Packing packing(weights);
  graph.check_complete();
  const OperationGraph fused = fuse(graph, precision);
  StepBuilder builder{isa, weights, fused, graph.infer_shapes(h, w), {}};
  builder.shapes.resize(fused.tensors.size());
  builder.pooled.resize(fused.tensors.size());
  for (std::size_t tensor = 0; tensor < fused.tensors.size(); ++tensor) {
    const int copied = fused.tensors[tensor].copied;
    if (copied >= 0) builder.shapes[tensor] = builder.shape(copied);
  }
  std::vector<std::unique_ptr<Step>> steps;
  for (const std::unique_ptr<Operation>& operation : fused.operations) {
    steps.push_back(operation->make_step(builder));
    scratch_bytes_ = std::max(scratch_bytes_, steps.back()->info().scratch_bytes);
  }
  WeightSpan next;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    (*step)->expect(next);
    if ((*step)->info().first_weights.bytes > 0) next = (*step)->info().first_weights;
  }
  std::move(steps.begin(), steps.end(), std::back_inserter(steps_));
  constexpr auto kLine = static_cast<std::int64_t>(kAlignment);
  scratch_bytes_ = (scratch_bytes_ + kLine - 1) / kLine * kLine;
  input_ = builder.shapes.front();
  if (fused.tensors.front().type == DType::kU8) pixels_ = fused.pixels;
  placement_ = place_tensors(fused, builder.shapes);
  for (const int output : graph.outputs()) {
    outputs_.push_back(builder.shape(output));
    output_bytes_.push_back(placement_.places[static_cast<std::size_t>(output)].bytes);
  }
}

double Plan::workspace_bytes(int workers) const {
  double bytes = static_cast<double>(arena_bytes()) + static_cast<double>(places().front().bytes) +
                 static_cast<double>(scratch_bytes_) * workers;
  for (std::size_t i = 1; i < outputs_.size(); ++i) bytes += static_cast<double>(output_bytes_[i]);
  return bytes;
}

}  // namespace lpn
