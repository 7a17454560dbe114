// The thread pool: every chunk once, busy pools, exceptions, forks, and the default number of
// threads.
#include <sched.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cfenv>
#include <cstdlib>
#include <set>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/cpu_quota.h"
#include "base/fork.h"
#include "base/thread_pool.h"
#include "scoped_environment.h"
#include "test.h"

namespace lpn {
namespace {

using test::ScopedEnvironment;

// Runs a loop and counts how often each chunk ran, and how many ran on a worker out of range.
void check_loop(ThreadPool& pool, std::int64_t chunks) {
  std::vector<std::atomic<int>> counts(static_cast<std::size_t>(chunks));
  std::atomic<int> strangers{0};
  pool.parallel_for(chunks, [&](std::int64_t chunk, int worker) {
    counts[static_cast<std::size_t>(chunk)].fetch_add(1);
    if (worker < 0 || worker >= pool.threads()) strangers.fetch_add(1);
  });
  for (const std::atomic<int>& count : counts)
    EXPECT(count.load() == 1, "chunks ", chunks, ", count ", count.load());
  EXPECT(strangers.load() == 0);
}

}  // namespace

LPN_TEST(thread_pool_runs_every_chunk_once) {
  for (const int threads : {1, 2, 3, 8}) {
    ThreadPool pool(threads);
    for (const std::int64_t chunks : {0, 1, 2, 7, 1000}) check_loop(pool, chunks);
  }
}

LPN_TEST(thread_pool_begins_with_a_workers_own_stretch) {
  for (const int threads : {2, 3, 5}) {
    ThreadPool pool(threads);
    std::vector<std::atomic<std::int64_t>> first(static_cast<std::size_t>(threads));
    for (std::atomic<std::int64_t>& chunk : first) chunk.store(-1);
    std::atomic<int> begun{0};
    // No worker goes on before all have begun.
    pool.parallel_for(4 * threads + 1, [&](std::int64_t chunk, int worker) {
      std::int64_t none = -1;
      if (!first[static_cast<std::size_t>(worker)].compare_exchange_strong(none, chunk)) return;
      begun.fetch_add(1);
      while (begun.load() < threads) std::this_thread::yield();
    });
    for (int worker = 0; worker < threads; ++worker) {
      const std::int64_t chunk = first[static_cast<std::size_t>(worker)].load();
      EXPECT(chunk == (4 * threads + 1) * worker / threads, threads, " threads: worker ", worker,
             " begins with chunk ", chunk);
    }
  }
}

LPN_TEST(thread_pool_takes_what_a_busy_worker_has_left) {
  ThreadPool pool(3);
  constexpr std::int64_t kChunks = 24;
  for (const std::int64_t busy : {0, 8, 16}) {
    std::atomic<std::int64_t> done{0};
    pool.parallel_for(kChunks, [&](std::int64_t chunk, int) {
      while (chunk == busy && done.load() < kChunks - 1) std::this_thread::yield();
      done.fetch_add(1);
    });
    EXPECT(done.load() == kChunks);
  }
}

LPN_TEST(thread_pool_survives_many_short_loops) {
  ThreadPool pool(3);
  for (int i = 0; i < 2000; ++i) check_loop(pool, 2 + i % 5);
}

LPN_TEST(thread_pool_wakes_sleeping_workers) {
  ThreadPool pool(2);
  for (int i = 0; i < 5; ++i) {
    std::atomic<int> arrived{0};
    // Both chunks wait for each other: the loop ends only if the sleeping worker wakes up for it.
    pool.parallel_for(2, [&](std::int64_t, int) {
      arrived.fetch_add(1);
      while (arrived.load() < 2) std::this_thread::yield();
    });
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
  }
}

LPN_TEST(thread_pool_runs_nested_loops_inline_as_their_worker) {
  ThreadPool pool(3);
  ThreadPool other(2);
  std::atomic<int> elsewhere{0};
  std::atomic<int> inner{0};
  pool.parallel_for(6, [&](std::int64_t, int outer) {
    const std::thread::id caller = std::this_thread::get_id();
    pool.parallel_for(5, [&](std::int64_t, int worker) {
      inner.fetch_add(1);
      if (worker != outer || std::this_thread::get_id() != caller) elsewhere.fetch_add(1);
    });
    other.parallel_for(5, [&](std::int64_t, int worker) {
      inner.fetch_add(1);
      if (worker != 0 || std::this_thread::get_id() != caller) elsewhere.fetch_add(1);
    });
  });
  EXPECT(inner.load() == 60, inner.load());
  EXPECT(elsewhere.load() == 0, elsewhere.load());
}

LPN_TEST(thread_pools_share_their_threads) {
  const auto threads_of = [](ThreadPool& pool) {
    std::vector<std::thread::id> ids(static_cast<std::size_t>(pool.threads()));
    std::atomic<int> arrived{0};
    // Every chunk waits for the others, so that each has a thread of its own.
    pool.parallel_for(pool.threads(), [&](std::int64_t, int worker) {
      ids[static_cast<std::size_t>(worker)] = std::this_thread::get_id();
      arrived.fetch_add(1);
      while (arrived.load() < pool.threads()) std::this_thread::yield();
    });
    return std::set<std::thread::id>(ids.begin(), ids.end());
  };
  // More than there are CPUs, for then a worker keeps its thread.
  const int most = static_cast<int>(affinity_cpus().size()) + 3;
  std::set<std::thread::id> all;
  for (const int threads : {most, most - 2, most - 1, most}) {
    ThreadPool pool(threads);
    const std::set<std::thread::id> these = threads_of(pool);
    EXPECT(static_cast<int>(these.size()) == threads, these.size());
    all.insert(these.begin(), these.end());
  }
  EXPECT(static_cast<int>(all.size()) == most, all.size(), " threads for at most ", most);
}

LPN_TEST(thread_pool_serves_many_callers) {
  ThreadPool pool(2);
  std::vector<std::thread> callers;
  for (int i = 0; i < 4; ++i) {
    callers.emplace_back([&] {
      for (int loop = 0; loop < 200; ++loop) check_loop(pool, 16);
    });
  }
  for (std::thread& caller : callers) caller.join();
}

LPN_TEST(thread_pool_rounds_alike_on_every_thread) {
  volatile float one = 1;
  volatile float three = 3;
  const float nearest = one / three;
  std::fenv_t callers;
  std::fegetenv(&callers);
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    std::fesetround(FE_DOWNWARD);  // the caller's own affair
    const float downward = one / three;
    std::atomic<int> different{0};
    pool.parallel_for(1000, [&](std::int64_t, int) {
      if (one / three != nearest) different.fetch_add(1);
    });
    const bool restored = std::fegetround() == FE_DOWNWARD;
    std::fesetenv(&callers);
    EXPECT(downward != nearest);
    EXPECT(different.load() == 0, threads, " threads: ", different.load(), " chunks rounded down");
    EXPECT(restored, threads, " threads: the caller's mode is lost");
  }
}

LPN_TEST(thread_pool_rethrows_and_goes_on) {
  for (const int threads : {1, 3}) {
    ThreadPool pool(threads);
    for (int i = 0; i < 20; ++i) {
      bool thrown = false;
      try {
        pool.parallel_for(50, [](std::int64_t chunk, int) {
          if (chunk % 10 == 7) throw std::runtime_error("chunk");
        });
      } catch (const std::runtime_error& error) {
        thrown = std::string(error.what()) == "chunk";
      }
      EXPECT(thrown);
      check_loop(pool, 50);
    }
  }
}

LPN_TEST(thread_pool_refuses_bad_counts) {
  for (const int threads : {-1, 0, 1 << 20}) {
    bool refused = false;
    try {
      ThreadPool pool(threads);
    } catch (const std::invalid_argument&) {
      refused = true;
    }
    EXPECT(refused, threads);
  }
}

// ThreadSanitizer does not follow threads that start after a fork.
#if !defined(__SANITIZE_THREAD__)
namespace {

// Waits for a child and returns its exit code, or -1 when it did not exit by itself.
int exit_code(pid_t child) {
  int status = 0;
  if (waitpid(child, &status, 0) != child) return -1;
  return WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}

}  // namespace

LPN_TEST(thread_pool_works_in_a_forked_child) {
  ThreadPool pool(3);
  check_loop(pool, 100);
  // Another thread keeps the pool busy, and its locks taken, while the process forks.
  std::atomic<bool> stop{false};
  std::thread busy([&] {
    while (!stop.load()) pool.parallel_for(64, [](std::int64_t, int) {});
  });
  for (int i = 0; i < 5; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);  // a deadlock becomes a failure
      int good = 0;
      for (int loop = 0; loop < 10; ++loop) {
        std::atomic<int> count{0};
        pool.parallel_for(100, [&](std::int64_t, int) { count.fetch_add(1); });
        good += count.load() == 100 ? 1 : 0;
      }
      _exit(good == 10 ? 0 : 1);
    }
    EXPECT(exit_code(child) == 0);
  }
  stop.store(true);
  busy.join();
  check_loop(pool, 100);
}

LPN_TEST(fork_safe_mutex_is_free_in_the_child) {
  ForkSafeMutex mutex;
  std::atomic<bool> stop{false};
  std::thread holder([&] {
    while (!stop.load()) {
      mutex.lock();
      std::this_thread::yield();
      mutex.unlock();
    }
  });
  for (int i = 0; i < 5; ++i) {
    const pid_t child = fork();
    if (child == 0) {
      alarm(20);
      mutex.lock();
      mutex.unlock();
      _exit(0);
    }
    EXPECT(exit_code(child) == 0);
  }
  stop.store(true);
  holder.join();
}
#endif

LPN_TEST(default_threads_follows_the_environment) {
  {
    const ScopedEnvironment set("LPN_NUM_THREADS", "3");
    EXPECT(default_threads() == 3, default_threads());
  }
  for (const char* value : {"0", "-2", "two", "2.5", "3 ", "99999999999999999999"}) {
    const ScopedEnvironment set("LPN_NUM_THREADS", value);
    std::string message;
    try {
      default_threads();
    } catch (const std::invalid_argument& error) {
      message = error.what();
    }
    EXPECT(message.find("LPN_NUM_THREADS") != std::string::npos, value, ": ", message);
    EXPECT(message.find(value) != std::string::npos, value, ": ", message);
  }
  const ScopedEnvironment unset("LPN_NUM_THREADS", "");
  EXPECT(default_threads() >= 1 && default_threads() <= count_cores(affinity_cpus()));
  EXPECT(cgroup_cpus() >= 0);
}

}  // namespace lpn

#if defined(__linux__)
namespace {

std::atomic<bool> one_cpu{false};
std::atomic<int> affinity_calls{0};

}  // namespace

// These stand before the C library's in every call of this program.
extern "C" int sched_getcpu() noexcept {
  unsigned cpu = 0;
  return !one_cpu && syscall(SYS_getcpu, &cpu, nullptr, nullptr) == 0 ? static_cast<int>(cpu) : 0;
}

extern "C" int sched_setaffinity(pid_t, std::size_t, const cpu_set_t*) noexcept {
  affinity_calls.fetch_add(1);
  return 0;
}

namespace lpn {

// A worker told that it is on its caller's CPU, time and again, is another thread in the end. No
// affinity is ever set: a thread that has one of its own does not follow a cpuset that grows.
LPN_TEST(thread_pool_gives_a_worker_on_its_callers_cpu_another_thread) {
  if (affinity_cpus().size() < 2) return;  // where there is nowhere to go
  one_cpu = true;
  ThreadPool pool(2);
  std::set<long> workers;  // as the kernel numbers them: std::thread::id comes again
  for (int loop = 0; loop < 100000 && workers.size() < 3; ++loop) {
    long other = 0;
    std::atomic<int> arrived{0};
    pool.parallel_for(2, [&](std::int64_t, int worker) {
      if (worker == 1) other = syscall(SYS_gettid);
      arrived.fetch_add(1);
      while (arrived.load() < 2) std::this_thread::yield();
    });
    workers.insert(other);
  }
  one_cpu = false;
  EXPECT(workers.size() == 3, workers.size());
  EXPECT(affinity_calls.load() == 0, affinity_calls.load());
  check_loop(pool, 100);
}

}  // namespace lpn
#endif
