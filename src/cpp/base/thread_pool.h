// Threads that share out the chunks of one parallel loop at a time.
#pragma once

#include <cstdint>
#include <functional>

namespace lpn {

// The number of threads to use by default: LPN_NUM_THREADS when set (validated), else the smaller
// of the physical cores of the affinity mask and the cgroup quota (rounded up), at least 1. Two
// hardware threads of a core share its multiply-adds, and one is enough to keep them busy.
int default_threads();

// The process's one set of worker threads as one of its users sees it, who may have up to
// `threads` of them at a time, the caller's own included. Workers start when a loop first wants
// them, and again in a forked child. Nothing is pinned; after a short bounded spin an idle worker
// sleeps. Results never depend on which thread ran a chunk.
class ThreadPool {
 public:
  explicit ThreadPool(int threads);
  ThreadPool(const ThreadPool&) = delete;
  ThreadPool& operator=(const ThreadPool&) = delete;

  int threads() const { return threads_; }

  // Calls body(chunk, worker) for every chunk in [0, chunks), worker in [0, threads()), and returns
  // when all are done. The caller works too, as worker 0. Worker i of n begins with the i-th of n
  // equal stretches of the chunks, in their order, and goes on with what others have left. While
  // the threads are busy with another caller's loop, whosever, this caller runs all of its chunks
  // inline as worker 0. So does a loop within a loop's body: of the same pool as the worker that
  // the body is, whose scratch is its own, else as worker 0. The first exception of a body is
  // rethrown here after the loop has drained.
  void parallel_for(std::int64_t chunks,
                    const std::function<void(std::int64_t chunk, int worker)>& body);

 private:
  const int threads_;
};

}  // namespace lpn
