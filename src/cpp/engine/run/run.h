// Runs a plan over a batch.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <vector>

#include "base/thread_pool.h"
#include "engine/run/step_clock.h"
#include "engine/run/workspace.h"

namespace lpn {

// A batch of n images, each of the plan's input size and one after the other. One of `pixels`,
// `bytes` and `fill` is set.
struct Batch {
  std::int64_t n = 0;
  const float* pixels = nullptr;        // normalised
  const std::uint8_t* bytes = nullptr;  // (h, w, 3) each; `table` is for plans that take floats
  // Input channel c of a byte image at p is table[c][p[channel_map[c]]].
  std::vector<int> channel_map;
  std::vector<std::array<float, 256>> table;
  // Writes rows [begin, end) of an image's input to `rows`, floats, or bytes of pixels where that
  // is what the plan takes; called by any thread of the pool, when that image is about to run.
  std::function<void(std::int64_t image, std::int64_t begin, std::int64_t end, void* rows)> fill;
  // May be given: asked by every thread before each image and each step whether to end the run.
  std::function<bool()> stop;
};

// Where an image of the batch lies that the plan takes as it is, or is made so in the workspace.
const void* find_input(const Plan& plan, Workspace& workspace, const Batch& batch,
                       std::int64_t image);

// As many as there is memory for, at least one and fewer than threads: all of them share one
// scratch area per thread.
std::int64_t images_side_by_side(const Plan& plan, int threads, std::int64_t memory_limit);

// Of a batch, as many images as are a multiple of the threads are run image by image, one thread
// each, where `memory_limit` (bytes) leaves room for a workspace per thread. Those left over are
// run by all threads, step by step, images_side_by_side() at a time. The bits of a result do not
// depend on which. `outputs`: one for each of the plan's, with room for n images, or null where it
// is not wanted; they are not counted as memory. `clock` may be given for a batch of one image.
// Returns whether the run came to its end; else `outputs` hold anything.
bool run(PreparedPlan& plan, ThreadPool& pool, const Batch& batch,
         const std::vector<void*>& outputs, std::int64_t memory_limit, StepClock* clock = nullptr);

}  // namespace lpn
