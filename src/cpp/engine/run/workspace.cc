#include "engine/run/workspace.h"

#include <cassert>
#include <mutex>
#include <new>

namespace lpn {

Workspace::Workspace(const Plan& plan)
    : arena_(static_cast<std::size_t>(plan.arena_bytes())),
      tensors_(plan.places().size(), nullptr) {
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const Place& place = plan.places()[i];
    if (place.kind == Place::Kind::kArena) tensors_[i] = arena_.data() + place.offset;
  }
}

RunContext Workspace::bind(const Plan& plan, const void* input, const std::vector<void*>& outputs,
                           int workers) {
  assert(outputs.size() == plan.outputs().size());
  const auto scratch_size = static_cast<std::size_t>(plan.scratch_bytes() * workers);
  if (scratch_.size() < scratch_size) scratch_ = Buffer<std::byte>(scratch_size);
  if (workers == 0)
    scratch_ = Buffer<std::byte>();  // of an earlier run, which this one's room lacks
  for (std::size_t i = 0; i < tensors_.size(); ++i) {
    const Place& place = plan.places()[i];
    // No step writes the input: an operation's result is always another tensor.
    if (place.kind == Place::Kind::kInput)
      tensors_[i] = static_cast<std::byte*>(const_cast<void*>(input));
    if (place.kind == Place::Kind::kOutput) {
      auto* output = static_cast<std::byte*>(outputs[place.output]);
      if (output == nullptr) output = unwanted(plan, place.output);
      tensors_[i] = output + place.offset;
    }
  }
  return {plan.places().data(), tensors_.data(), scratch_.data(), plan.scratch_bytes()};
}

std::byte* Workspace::unwanted(const Plan& plan, std::size_t output) {
  unwanted_.resize(plan.outputs().size());
  Buffer<std::byte>& buffer = unwanted_[output];
  if (buffer.size() == 0)
    buffer = Buffer<std::byte>(static_cast<std::size_t>(plan.output_bytes(output)));
  return buffer.data();
}

void* Workspace::input(const Plan& plan) {
  if (input_.size() == 0)
    input_ = Buffer<std::byte>(static_cast<std::size_t>(plan.places().front().bytes));
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
