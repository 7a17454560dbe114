#include "base/thread_pool.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <condition_variable>
#include <cstdlib>
#include <exception>
#include <mutex>
#include <thread>
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
// milliseconds or many runs. It moves away itself, but seldom: where others have taken the rest of
// the machine, moving does not help.
constexpr std::chrono::milliseconds kMoveInterval{5};

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

// The threads of one process and the loop they share. `state` holds the loop's generation, whether
// it is open for workers to join, and how many have: a worker that comes too late joins nothing,
// and the caller never waits for a sleeper.
class Crew {
 public:
  explicit Crew(int threads)
      : generation_of_fork_(fork_generation()), has_cpu_each_(threads <= affinity_cpus()) {
    workers_.reserve(static_cast<std::size_t>(threads - 1));
    for (int worker = 1; worker < threads; ++worker) {
      try {
        workers_.emplace_back([this, worker] { work(worker); });
      } catch (const std::exception&) {
        break;  // the process is out of threads or memory; fewer threads do the same work
      }
    }
  }

  ~Crew() {
    {
      const std::lock_guard<std::mutex> lock(mutex_);
      stop_.store(true, std::memory_order_relaxed);
    }
    wake_.notify_all();
    for (std::thread& worker : workers_) worker.join();
  }

  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  bool of_this_process() const { return generation_of_fork_ == fork_generation(); }
  bool try_acquire() { return !busy_.exchange(true, std::memory_order_acquire); }
  void release() { busy_.store(false, std::memory_order_release); }

  // The caller must have acquired the crew.
  void run(std::int64_t chunks, const Body& body) {
    body_ = &body;
    chunks_ = chunks;
    next_.store(0, std::memory_order_relaxed);
    failed_.store(false, std::memory_order_relaxed);
    error_ = nullptr;
    caller_cpu_.store(current_cpu(), std::memory_order_relaxed);
    const std::uint64_t generation =
        (state_.load(std::memory_order_relaxed) & ~kLowBits) + kGeneration;
    state_.store(generation | kOpen);
    // Sequential consistency here and in sleep(): either the sleeper sees the open loop or this
    // sees the sleeper.
    if (sleepers_.load() > 0) {
      {
        const std::lock_guard<std::mutex> lock(mutex_);
      }
      wake_.notify_all();
    }
    drain(0);
    state_.fetch_and(~kOpen, std::memory_order_acq_rel);
    const auto all_left = [this] {
      return (state_.load(std::memory_order_acquire) & kJoined) == 0;
    };
    if (!spin_until(all_left)) {
      std::unique_lock<std::mutex> lock(mutex_);
      done_.wait(lock, all_left);
    }
    if (error_) std::rethrow_exception(error_);
  }

 private:
  static constexpr std::uint64_t kJoined = 0x7fff;
  static constexpr std::uint64_t kOpen = 0x8000;
  static constexpr std::uint64_t kLowBits = kJoined | kOpen;
  static constexpr std::uint64_t kGeneration = kLowBits + 1;

  void drain(int worker) {
    const DefaultFloatEnvironment environment;
    try {
      while (!failed_.load(std::memory_order_relaxed)) {
        const std::int64_t chunk = next_.fetch_add(1, std::memory_order_relaxed);
        if (chunk >= chunks_) return;
        (*body_)(chunk, worker);
      }
    } catch (...) {
      const std::lock_guard<std::mutex> lock(mutex_);
      if (!error_) error_ = std::current_exception();
      failed_.store(true, std::memory_order_relaxed);
    }
  }

  // Joins an open loop other than `last`; returns whether it did.
  bool join(std::uint64_t& last) {
    std::uint64_t state = state_.load(std::memory_order_acquire);
    while ((state & kOpen) != 0 && (state & ~kLowBits) != last) {
      if (state_.compare_exchange_weak(state, state + 1, std::memory_order_acq_rel,
                                       std::memory_order_acquire)) {
        last = state & ~kLowBits;
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

  bool something_new(std::uint64_t last) const {
    const std::uint64_t state = state_.load();
    return stop_.load(std::memory_order_relaxed) ||
           ((state & kOpen) != 0 && (state & ~kLowBits) != last);
  }

  void sleep(std::uint64_t last) {
    std::unique_lock<std::mutex> lock(mutex_);
    sleepers_.fetch_add(1);
    wake_.wait(lock, [&] { return something_new(last); });
    sleepers_.fetch_sub(1);
  }

  // Called by a worker in a loop: leaves the caller's CPU to the caller.
  void part_from_caller(Clock::time_point& last_move) const {
    const int cpu = current_cpu();
    if (!has_cpu_each_ || cpu < 0 || cpu != caller_cpu_.load(std::memory_order_relaxed)) return;
    const Clock::time_point now = Clock::now();
    if (now - last_move < kMoveInterval) return;
    last_move = now;
    leave_cpu(cpu);
  }

  void work(int worker) {
    std::uint64_t last = 0;
    Clock::time_point last_move{};
    while (true) {
      if (!spin_until([&] { return something_new(last); })) sleep(last);
      if (stop_.load(std::memory_order_relaxed)) return;
      if (!join(last)) continue;
      part_from_caller(last_move);
      drain(worker);
      leave();
    }
  }

  const std::uint64_t generation_of_fork_;
  const bool has_cpu_each_;
  std::atomic<int> caller_cpu_{-1};
  std::atomic<bool> busy_{false};
  alignas(64) std::atomic<std::uint64_t> state_{0};
  alignas(64) std::atomic<std::int64_t> next_{0};
  std::atomic<bool> failed_{false};
  const Body* body_ = nullptr;
  std::int64_t chunks_ = 0;
  std::exception_ptr error_;
  std::atomic<int> sleepers_{0};
  std::atomic<bool> stop_{false};
  std::mutex mutex_;
  std::condition_variable wake_;
  std::condition_variable done_;
  std::vector<std::thread> workers_;
};

void run_inline(std::int64_t chunks, const Body& body) {
  const DefaultFloatEnvironment environment;
  for (std::int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk, 0);
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
              ", or unset to use every CPU allowed");
    return static_cast<int>(value);
  }
  const int quota = cgroup_cpus();
  const int cpus = affinity_cpus();
  return std::min({quota > 0 ? quota : cpus, cpus, kMaxThreads});
}

class ThreadPool::Impl {
 public:
  explicit Impl(int threads) : threads_(threads) {}

  ~Impl() {
    Crew* crew = crew_.load(std::memory_order_acquire);
    // A crew of the parent process has no threads here: there is nothing to join and nobody to
    // wake.
    if (crew != nullptr && crew->of_this_process()) delete crew;
  }

  int threads() const { return threads_; }

  // The crew of this process, made on first use.
  Crew& crew() {
    Crew* current = crew_.load(std::memory_order_acquire);
    if (current != nullptr && current->of_this_process()) return *current;
    const std::lock_guard<ForkSafeMutex> lock(mutex_);
    current = crew_.load(std::memory_order_acquire);
    if (current != nullptr && current->of_this_process()) return *current;
    current = new Crew(threads_);
    crew_.store(current, std::memory_order_release);
    return *current;
  }

 private:
  const int threads_;
  ForkSafeMutex mutex_;
  std::atomic<Crew*> crew_{nullptr};
};

ThreadPool::ThreadPool(int threads) {
  LPN_CHECK(threads >= 1 && threads <= kMaxThreads, "threads is ", threads,
            "; it must be from 1 to ", kMaxThreads);
  impl_ = std::make_unique<Impl>(threads);
}

ThreadPool::~ThreadPool() = default;

int ThreadPool::threads() const { return impl_->threads(); }

void ThreadPool::parallel_for(std::int64_t chunks, const Body& body) {
  if (chunks <= 1 || impl_->threads() == 1) return run_inline(chunks, body);
  Crew& crew = impl_->crew();
  if (!crew.try_acquire()) return run_inline(chunks, body);
  struct Release {
    Crew& crew;
    ~Release() { crew.release(); }
  } release{crew};
  crew.run(chunks, body);
}

}  // namespace lpn
