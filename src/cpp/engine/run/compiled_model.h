// A graph compiled for this CPU: plans per input size, shared by any number of threads.
#pragma once

#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "base/fork.h"
#include "base/isa.h"
#include "base/thread_pool.h"
#include "engine/graph/graph.h"
#include "engine/graph/precision.h"
#include "engine/plan/weight_store.h"
#include "engine/run/run.h"

namespace lpn {

class CompiledModel {
 public:
  // `memory_limit` in bytes, for the weights and for each run; 0 for default_memory_limit().
  CompiledModel(Graph graph, int threads, Isa isa, std::int64_t memory_limit = 0,
                Precision precision = Precision::kFp32);

  int threads() const { return pool_.threads(); }
  Isa isa() const { return isa_; }
  Precision precision() const { return precision_; }
  const Graph& graph() const { return graph_; }
  // For loops before and after a run.
  ThreadPool& pool() { return pool_; }

  // The plan for an input of h x w: made on first use, the most recently used kept. Throws when it
  // would need more memory than the limit.
  std::shared_ptr<PreparedPlan> prepare(std::int64_t h, std::int64_t w);

  bool run(PreparedPlan& plan, const Batch& batch, const std::vector<void*>& outputs,
           StepClock* clock = nullptr) {
    return lpn::run(plan, pool_, batch, outputs, memory_limit_, clock);
  }
  // Of the first output alone.
  bool run(PreparedPlan& plan, const Batch& batch, void* first) {
    std::vector<void*> outputs(plan.plan().outputs().size(), nullptr);
    outputs.front() = first;
    return run(plan, batch, outputs);
  }

  // Frees the workspaces that no run uses at the moment; later runs make new ones.
  void release_workspaces();

 private:
  // Workspaces hang on a plan, so a caller of ever new sizes must not make them pile up.
  static constexpr std::size_t kKeptPlans = 8;

  std::shared_ptr<PreparedPlan> find(std::int64_t h, std::int64_t w);

  const Graph graph_;
  const Isa isa_;
  const Precision precision_;
  const std::int64_t memory_limit_;
  ThreadPool pool_;
  WeightStore weights_;
  ForkSafeMutex mutex_;
  std::list<std::shared_ptr<PreparedPlan>> plans_;  // most recently used first
};

}  // namespace lpn
