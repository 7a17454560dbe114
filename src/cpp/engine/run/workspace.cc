#include "engine/run/workspace.h"

#include <mutex>
#include <new>

namespace lpn {

Workspace::Workspace(const Plan& plan)
    : arena_(static_cast<std::size_t>(plan.arena_size())), tensors_(plan.places().size(), nullptr) {
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const Plan::Place& place = plan.places()[i];
    if (place.kind == Plan::Place::Kind::kArena) tensors_[i] = arena_.data() + place.offset;
  }
}

RunContext Workspace::bind(const Plan& plan, const float* input, float* output, int workers) {
  const auto scratch_size = static_cast<std::size_t>(plan.scratch_size() * workers);
  if (scratch_.size() < scratch_size) scratch_ = Buffer<float>(scratch_size);
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const Plan::Place::Kind kind = plan.places()[i].kind;
    // No step writes the input: an operation's result is always another tensor.
    if (kind == Plan::Place::Kind::kInput) tensors_[i] = const_cast<float*>(input);
    if (kind == Plan::Place::Kind::kOutput) tensors_[i] = output;
  }
  return {tensors_.data(), scratch_.data(), plan.scratch_size()};
}

float* Workspace::input(const Plan& plan) {
  if (input_.size() == 0) input_ = Buffer<float>(static_cast<std::size_t>(plan.input().size()));
  return input_.data();
}

std::unique_ptr<Workspace> PreparedPlan::take() {
  {
    const std::lock_guard<ForkSafeMutex> lock(mutex_);
    if (!free_.empty()) {
      std::unique_ptr<Workspace> workspace = std::move(free_.back());
      free_.pop_back();
      return workspace;
    }
  }
  return std::make_unique<Workspace>(*plan_);
}

void PreparedPlan::give_back(std::unique_ptr<Workspace> workspace) {
  const std::lock_guard<ForkSafeMutex> lock(mutex_);
  try {
    free_.push_back(std::move(workspace));
  } catch (const std::bad_alloc&) {
    // Called by a destructor: rather lose the workspace than the process.
  }
}

void PreparedPlan::release_workspaces() {
  std::vector<std::unique_ptr<Workspace>> released;
  const std::lock_guard<ForkSafeMutex> lock(mutex_);
  released.swap(free_);
}

}  // namespace lpn
