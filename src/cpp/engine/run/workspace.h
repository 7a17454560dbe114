// The memory of one run, and the pool that runs borrow it from.
#pragma once

#include <cstddef>
#include <memory>
#include <vector>

#include "base/buffer.h"
#include "base/fork.h"
#include "engine/plan/plan.h"

namespace lpn {

class Workspace {
 public:
  explicit Workspace(const Plan& plan);

  // Points every tensor to its place for an image at `input` whose results go to `outputs`, with
  // scratch for `workers` threads, or none and its memory freed for 0. Results for which `outputs`
  // holds null stay in the workspace.
  RunContext bind(const Plan& plan, const void* input, const std::vector<void*>& outputs,
                  int workers);

  // Room for one input image, for callers whose own is not ready for the network.
  void* input(const Plan& plan);

 private:
  std::byte* unwanted(const Plan& plan, std::size_t output);

  Buffer<std::byte> arena_;
  Buffer<std::byte> scratch_;
  Buffer<std::byte> input_;
  std::vector<Buffer<std::byte>> unwanted_;  // results
  std::vector<std::byte*> tensors_;
};

// A plan with the workspaces that are free. It never holds more of them than were on loan at the
// same time.
class PreparedPlan {
 public:
  explicit PreparedPlan(std::unique_ptr<const Plan> plan) : plan_(std::move(plan)) {}

  const Plan& plan() const { return *plan_; }

  // A workspace on loan, given back by the destructor.
  class Lease {
   public:
    explicit Lease(PreparedPlan& owner) : owner_(owner), workspace_(owner.take()) {}
    ~Lease() { owner_.give_back(std::move(workspace_)); }
    Lease(const Lease&) = delete;
    Lease& operator=(const Lease&) = delete;
    Workspace& workspace() { return *workspace_; }

   private:
    PreparedPlan& owner_;
    std::unique_ptr<Workspace> workspace_;
  };

  void release_workspaces();

 private:
  std::unique_ptr<Workspace> take();
  void give_back(std::unique_ptr<Workspace> workspace);

  const std::unique_ptr<const Plan> plan_;
  ForkSafeMutex mutex_;
  std::vector<std::unique_ptr<Workspace>> free_;
};

}  // namespace lpn
