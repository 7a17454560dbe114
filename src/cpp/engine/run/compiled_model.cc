#include "engine/run/compiled_model.h"

#include <algorithm>
#include <mutex>
#include <vector>

#include "base/memory_limit.h"
#include "engine/run/memory.h"

namespace lpn {

CompiledModel::CompiledModel(Graph graph, int threads, Isa isa, std::int64_t memory_limit,
                             Precision precision)
    : graph_(std::move(graph)),
      isa_(isa),
      precision_(precision),
      memory_limit_(memory_limit == 0 ? default_memory_limit() : memory_limit),
      pool_(threads == 0 ? default_threads() : threads),
      weights_(memory_limit_) {
  graph_.check_complete();
}

std::shared_ptr<PreparedPlan> CompiledModel::find(std::int64_t h, std::int64_t w) {
  const auto found = std::find_if(
      plans_.begin(), plans_.end(), [&](const std::shared_ptr<PreparedPlan>& prepared) {
        return prepared->plan().input().h == h && prepared->plan().input().w == w;
      });
  if (found == plans_.end()) return nullptr;
  plans_.splice(plans_.begin(), plans_, found);
  return plans_.front();
}

std::shared_ptr<PreparedPlan> CompiledModel::prepare(std::int64_t h, std::int64_t w) {
  {
    const std::lock_guard<ForkSafeMutex> lock(mutex_);
    if (std::shared_ptr<PreparedPlan> prepared = find(h, w)) return prepared;
  }
  // Made without the lock, so that runs of other sizes go on; of two threads that make the same
  // one, the first wins.
  auto made = std::make_shared<PreparedPlan>(
      std::make_unique<const Plan>(graph_, h, w, isa_, precision_, weights_));
  check_memory(made->plan(), graph_, threads(), memory_limit_);
  std::shared_ptr<PreparedPlan>
      dropped;  // freed after the lock: its own mutex must not be touched under this one
  const std::lock_guard<ForkSafeMutex> lock(mutex_);
  if (std::shared_ptr<PreparedPlan> prepared = find(h, w)) return prepared;
  plans_.push_front(made);
  if (plans_.size() > kKeptPlans) {
    dropped = std::move(plans_.back());
    plans_.pop_back();
  }
  return made;
}

void CompiledModel::release_workspaces() {
  std::vector<std::shared_ptr<PreparedPlan>> plans;
  {
    const std::lock_guard<ForkSafeMutex> lock(mutex_);
    plans.assign(plans_.begin(), plans_.end());
  }
  for (const std::shared_ptr<PreparedPlan>& prepared : plans) prepared->release_workspaces();
}

}  // namespace lpn
