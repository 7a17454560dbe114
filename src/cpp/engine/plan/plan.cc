#include "engine/plan/plan.h"

#include <algorithm>
#include <iterator>

#include "base/buffer.h"
#include "base/float_environment.h"
#include "engine/passes/passes.h"
#include "engine/plan/arena.h"
#include "engine/plan/step_builder.h"

namespace lpn {
namespace {

std::size_t at(int tensor) { return static_cast<std::size_t>(tensor); }

}  // namespace

Plan::Plan(const Graph& graph, std::int64_t h, std::int64_t w, Isa isa, WeightStore& weights) {
  const DefaultFloatEnvironment environment;  // the plan outlives its maker's mode
  graph.check_complete();
  const OperationGraph fused = fuse(graph);
  StepBuilder builder{isa, weights, graph.infer_shapes(h, w), {}, {}};
  builder.sizes.resize(at(fused.tensors), 0);
  builder.pooled.resize(at(fused.tensors));
  std::transform(builder.shapes.begin(), builder.shapes.end(), builder.sizes.begin(),
                 [](const Shape& shape) { return shape.size(); });
  std::vector<std::unique_ptr<Step>> steps;
  for (const std::unique_ptr<Operation>& operation : fused.operations) {
    steps.push_back(operation->make_step(builder));
    scratch_size_ = std::max(scratch_size_, steps.back()->info().scratch);
  }
  WeightSpan next;
  for (auto step = steps.rbegin(); step != steps.rend(); ++step) {
    (*step)->expect(next);
    if ((*step)->info().first_weights.size > 0) next = (*step)->info().first_weights;
  }
  std::move(steps.begin(), steps.end(), std::back_inserter(steps_));
  constexpr auto kLine = static_cast<std::int64_t>(kAlignment / sizeof(float));
  scratch_size_ = (scratch_size_ + kLine - 1) / kLine * kLine;
  input_ = builder.shapes.front();
  output_ = builder.shape(graph.output());
  place_tensors(fused, builder.sizes);
}

double Plan::workspace_bytes(int workers) const {
  const double floats = static_cast<double>(arena_size_) + static_cast<double>(input_.size()) +
                        static_cast<double>(scratch_size_) * workers;
  return floats * sizeof(float);
}

void Plan::place_tensors(const OperationGraph& fused, const std::vector<std::int64_t>& sizes) {
  const std::vector<std::unique_ptr<Operation>>& operations = fused.operations;
  places_.resize(sizes.size());
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const int step = static_cast<int>(i);
    for (const int tensor : operations[i]->writes()) {
      places_[at(tensor)].kind = Place::Kind::kArena;
      places_[at(tensor)].first = places_[at(tensor)].last = step;
    }
    for (const int tensor : operations[i]->reads()) places_[at(tensor)].last = step;
  }
  places_[0].kind = Place::Kind::kInput;
  places_[at(fused.output)].kind = Place::Kind::kOutput;
  for (std::size_t tensor = 0; tensor < places_.size(); ++tensor)
    places_[tensor].size = sizes[tensor];

  // Tensors that share a place: each points to the one whose place it takes over.
  std::vector<int> root(places_.size());
  for (std::size_t tensor = 0; tensor < root.size(); ++tensor)
    root[tensor] = static_cast<int>(tensor);
  std::vector<ArenaItem> spans(places_.size());
  for (std::size_t tensor = 0; tensor < places_.size(); ++tensor) {
    spans[tensor] = {places_[tensor].size, places_[tensor].first, places_[tensor].last};
  }
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const std::optional<int> overwritable = operations[i]->overwritable();
    if (!overwritable) continue;
    const int result = operations[i]->writes().front();
    const Place& residual = places_[at(*overwritable)];
    const Place& out = places_[at(result)];
    const bool dies = residual.last == static_cast<int>(i);
    if (!dies || residual.kind != Place::Kind::kArena || out.kind != Place::Kind::kArena) continue;
    const int shared = root[at(*overwritable)];
    root[at(result)] = shared;
    spans[at(shared)].last = std::max(spans[at(shared)].last, out.last);
  }

  std::vector<ArenaItem> items;
  std::vector<std::size_t> item_of(places_.size(), 0);
  for (std::size_t tensor = 0; tensor < places_.size(); ++tensor) {
    if (places_[tensor].kind != Place::Kind::kArena || root[tensor] != static_cast<int>(tensor))
      continue;
    item_of[tensor] = items.size();
    items.push_back(spans[tensor]);
  }
  const ArenaLayout layout = lay_out(items);
  for (std::size_t tensor = 0; tensor < places_.size(); ++tensor) {
    if (places_[tensor].kind == Place::Kind::kArena)
      places_[tensor].offset = layout.offsets[item_of[at(root[tensor])]];
  }
  arena_size_ = layout.size;
}

}  // namespace lpn
