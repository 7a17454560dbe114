#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <deque>
#include <exception>
#include <mutex>
#include <thread>
#include <utility>
#include <vector>

#include "base/check.h"
#include "base/cpu_quota.h"
#include "base/float_environment.h"
#include "base/fork.h"
#include "base/thread_placement.h"

namespace lpn {
namespace {

using Body = std::function<void(std::int64_t, int)>;
using Clock = std::chrono::steady_clock;

constexpr int kMaxThreads = 1024;

// A sleeping worker takes tens of microseconds to wake; steps of a network follow each other faster
// than that, so workers look out for the next one this long before they sleep.
constexpr std::chrono::microseconds kSpin{40};

// A worker that wakes on its caller's CPU would share it until the scheduler's next look, for
// milliseconds or many runs. It hands its work to a new thread, which the scheduler puts on the CPU
// that is least busy, but seldom: where others have taken the rest of the machine, that does not
// help. (Setting the thread's affinity would pin it: it no longer followed a cpuset that grows.)
constexpr std::chrono::milliseconds kSuccessionInterval{5};

inline void pause_cpu() {
#if defined(__x86_64__) || defined(__i386__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ __volatile__("yield");
#endif
}

// Spins until done() or for kSpin; returns done(). The clock is read seldom: it costs as much as a
// dozen pauses.
template <class Done>
bool spin_until(const Done& done) {
  constexpr int kPausesPerLook = 16;
  const Clock::time_point end = Clock::now() + kSpin;
  do {
    for (int i = 0; i < kPausesPerLook; ++i) {
      if (done()) return true;
      pause_cpu();
    }
  } while (Clock::now() < end);
  return done();
}

// What a thread is at work on: loops within loops run inline.
struct Work {
  const ThreadPool* pool;
  int worker;
};
thread_local Work current_work{nullptr, 0};

// Marks the calling thread for the time of a loop's body.
class WorkScope {
 public:
  explicit WorkScope(const Work& work) : outer_(current_work) { current_work = work; }
  ~WorkScope() { current_work = outer_; }
  WorkScope(const WorkScope&) = delete;
  WorkScope& operator=(const WorkScope&) = delete;

 private:
  const Work outer_;
  const DefaultFloatEnvironment environment_;
};

void run_inline(std::int64_t chunks, const Body& body, const Work& work) {
  const WorkScope scope(work);
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk, work.worker);
}

// The threads of one process and the loop they share. `state` holds the loop's generation, whether
// it is open for workers to join, and how many have: a worker that comes too late joins nothing,
// and the caller never waits for a sleeper. Lives as long as the process, as its threads do.
class WorkerThreads {
 public:
  WorkerThreads() = default;
  WorkerThreads(const WorkerThreads&) = delete;
  WorkerThreads& operator=(const WorkerThreads&) = delete;

  bool of_this_process() const { return generation_of_fork_ == fork_generation(); }
  bool try_acquire() { return !busy_.exchange(true, std::memory_order_acquire); }
  void release() { busy_.store(false, std::memory_order_release); }

  // The caller must have acquired the threads.
  void run(std::int64_t chunks, const Body& body, const ThreadPool& pool) {
    start_workers(pool.threads() - 1);
    pool_ = &pool;
    body_ = &body;
    share_out(chunks, pool.threads());
    failed_.store(false, std::memory_order_relaxed);
    caller_cpu_.store(current_cpu(), std::memory_order_relaxed);
    threads_.store(pool.threads(), std::memory_order_relaxed);
    const std::uint64_t generation =
        (state_.load(std::memory_order_relaxed) & ~kLowBits) + kGeneration;
    // Sequential consistency here and in sleep(): either the sleeper sees the open loop or this
    // sees the sleeper.
    state_.store(generation | kOpen);
    wake();
    drain(0);
    state_.fetch_and(~kOpen, std::memory_order_acq_rel);
    const auto all_left = [this] {
      return (state_.load(std::memory_order_acquire) & kJoined) == 0;
    };
    if (!spin_until(all_left)) {
      std::unique_lock<std::mutex> lock(mutex_);
      done_.wait(lock, all_left);
    }
    if (error_) std::rethrow_exception(std::exchange(error_, nullptr));
  }

 private:
  static constexpr std::uint64_t kJoined = 0x7fff;
  static constexpr std::uint64_t kOpen = 0x8000;
  static constexpr std::uint64_t kLowBits = kJoined | kOpen;
  static constexpr std::uint64_t kGeneration = kLowBits + 1;

  // A place among the threads, whichever of them has it.
  struct Worker {
    explicit Worker(int number) : id(number) {}
    const int id;             // from 1
    std::uint64_t last = 0;   // the generation of the loop joined last
    Clock::time_point hired;  // of its present thread
    std::atomic<bool> asleep{false};
    std::condition_variable wake;
  };

  // The chunks of a loop that are a worker's own, as far as they are left. On a line of its own,
  // which others ask for only when they have run out of theirs.
  struct alignas(64) Share {
    std::atomic<std::int64_t> next{0};
    std::int64_t end = 0;

    // The next chunk, or `end` or more where none is left.
    std::int64_t take() {
      const std::int64_t at = next.load(std::memory_order_relaxed);
      return at < end ? next.fetch_add(1, std::memory_order_relaxed) : at;
    }
  };

  // Equal stretches of the chunks, by worker: a thread that always gets the same stretch of a map
  // finds it in its own cache. While no worker has joined.
  void share_out(std::int64_t chunks, int threads) {
    if (shares_.size() < static_cast<std::size_t>(threads))
      shares_ = std::vector<Share>(static_cast<std::size_t>(threads));
    for (int worker = 0; worker < threads; ++worker) {
      Share& share = shares_[static_cast<std::size_t>(worker)];
      share.next.store(chunks * worker / threads, std::memory_order_relaxed);
      share.end = chunks * (worker + 1) / threads;
    }
  }

  // Starts the workers that are missing, by whoever has acquired them.
  void start_workers(int count) {
    while (!short_of_threads_ && static_cast<int>(workers_.size()) < count) {
      workers_.emplace_back(static_cast<int>(workers_.size()) + 1);
      if (start(workers_.back())) continue;
      workers_.pop_back();
      short_of_threads_ = true;  // fewer threads do the same work
    }
  }

  bool start(Worker& worker) {
    worker.hired = Clock::now();
    try {
      std::thread([this, &worker] { work(worker); }).detach();
    } catch (const std::exception&) {
      return false;  // the process is out of threads or memory
    }
    return true;
  }

  void wake() {
    const int count =
        std::min(threads_.load(std::memory_order_relaxed) - 1, static_cast<int>(workers_.size()));
    for (int i = 0; i < count; ++i) {
      Worker& worker = workers_[static_cast<std::size_t>(i)];
      if (!worker.asleep.load()) continue;
      {
        const std::lock_guard<std::mutex> lock(mutex_);
      }
      worker.wake.notify_one();
    }
  }

  // Runs the worker's own share, then what is left of the others'.
  void drain(int id) {
    const WorkScope scope({pool_, id});
    const int threads = pool_->threads();
    try {
      for (int i = 0; i < threads; ++i) {
        Share& share = shares_[static_cast<std::size_t>((id + i) % threads)];
        while (!failed_.load(std::memory_order_relaxed)) {
          const std::int64_t chunk = share.take();
          if (chunk >= share.end) break;
          (*body_)(chunk, id);
        }
      }
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
      failed_.store(true, std::memory_order_relaxed);
    }
  }

  // Whether a loop in this state is one for the worker to join.
  bool wanted(std::uint64_t state, const Worker& worker) const {
    return (state & kOpen) != 0 && (state & ~kLowBits) != worker.last &&
           worker.id < threads_.load(std::memory_order_relaxed);
  }

  // Joins an open loop; returns whether it did.
  bool join(Worker& worker) {
    std::uint64_t state = state_.load(std::memory_order_acquire);
    while (wanted(state, worker)) {
      if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
        worker.last = state & ~kLowBits;
        return true;
      }
    }
    return false;
  }

  void leave() {
    const std::uint64_t state = state_.fetch_sub(1, std::memory_order_acq_rel) - 1;
    if ((state & kLowBits) != 0) return;
    {
      const std::lock_guard<std::mutex> lock(mutex_);
    }
    done_.notify_one();
  }

  void sleep(Worker& worker) {
    std::unique_lock<std::mutex> lock(mutex_);
    worker.asleep.store(true);
    worker.wake.wait(lock, [&] { return wanted(state_.load(), worker); });
    worker.asleep.store(false);
  }

  // Whether a new thread has taken the worker's place, for this one shares the caller's CPU.
  bool succeeded(Worker& worker) {
    const int cpu = current_cpu();
    if (cpu < 0 || cpu != caller_cpu_.load(std::memory_order_relaxed)) return false;
    if (Clock::now() - worker.hired < kSuccessionInterval) return false;
    const std::size_t cpus = affinity_cpus().size();
    if (static_cast<std::size_t>(threads_.load(std::memory_order_relaxed)) > cpus) return false;
    return start(worker);
  }

  void work(Worker& worker) {
    const auto is_wanted = [&] { return wanted(state_.load(std::memory_order_acquire), worker); };
    while (true) {
      if (!spin_until(is_wanted)) sleep(worker);
      if (succeeded(worker)) return;
      if (!join(worker)) continue;
      drain(worker.id);
      leave();
    }
  }

  const std::uint64_t generation_of_fork_ = fork_generation();
  std::atomic<bool> busy_{false};
  bool short_of_threads_ = false;
  std::deque<Worker> workers_;  // whose places in memory stay
  std::atomic<int> caller_cpu_{-1};
  std::atomic<int> threads_{0};  // of the loop, its caller included
  alignas(64) std::atomic<std::uint64_t> state_{0};
  alignas(64) std::atomic<bool> failed_{false};
  const ThreadPool* pool_ = nullptr;
  const Body* body_ = nullptr;
  std::vector<Share> shares_;  // by worker
  std::exception_ptr error_;
  std::mutex mutex_;
  std::condition_variable done_;
};

// The threads of this process, made on first use. That of a parent process has no threads here; it
// is abandoned.
WorkerThreads& process_threads() {
  static std::atomic<WorkerThreads*> made{nullptr};
  static auto* const mutex = new ForkSafeMutex;
  WorkerThreads* current = made.load(std::memory_order_acquire);
  if (current != nullptr && current->of_this_process()) return *current;
  const std::lock_guard<ForkSafeMutex> lock(*mutex);
  current = made.load(std::memory_order_acquire);
  if (current != nullptr && current->of_this_process()) return *current;
  current = new WorkerThreads;
  made.store(current, std::memory_order_release);
  return *current;
}

}  // namespace

int default_threads() {
  const char* text = std::getenv("LPN_NUM_THREADS");
  if (text != nullptr && *text != '\0') {
    char* end = nullptr;
    const long value = std::strtol(text, &end, 10);
    LPN_CHECK(*end == '\0' && value >= 1 && value <= kMaxThreads,
              "environment variable LPN_NUM_THREADS is \"", text,
              "\"; it must be a whole number from 1 to ", kMaxThreads,
              ", or unset to use every physical core allowed");
    return static_cast<int>(value);
  }
  const int quota = cgroup_cpus();
  const int cores = count_cores(affinity_cpus());
  return std::min({quota > 0 ? quota : cores, cores, kMaxThreads});
}

ThreadPool::ThreadPool(int threads) : threads_(threads) {
  LPN_CHECK(threads >= 1 && threads <= kMaxThreads, "threads is ", threads,
            "; it must be from 1 to ", kMaxThreads);
}

void ThreadPool::parallel_for(std::int64_t chunks, const Body& body) {
  const Work& outer = current_work;
  if (outer.pool != nullptr)
    return run_inline(chunks, body, {this, outer.pool == this ? outer.worker : 0});
  if (chunks <= 1 || threads_ == 1) return run_inline(chunks, body, {this, 0});
  WorkerThreads& all = process_threads();
  if (!all.try_acquire()) return run_inline(chunks, body, {this, 0});
  struct Release {
    WorkerThreads& threads;
    ~Release() { threads.release(); }
  } release{all};
  all.run(chunks, body, *this);
}

}  // namespace lpn
