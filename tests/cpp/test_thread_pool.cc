// The thread pool: every chunk once, busy pools, exceptions, forks, and the default number of
// threads.
#include <sched.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <cfenv>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "base/cpu_quota.h"
#include "base/fork.h"
#include "base/thread_placement.h"
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

LPN_TEST(thread_pool_runs_nested_loops_inline) {
  ThreadPool pool(3);
  std::atomic<int> elsewhere{0};
  std::atomic<int> inner{0};
  pool.parallel_for(6, [&](std::int64_t, int) {
    const std::thread::id caller = std::this_thread::get_id();
    pool.parallel_for(5, [&](std::int64_t, int worker) {
      inner.fetch_add(1);
      if (worker != 0 || std::this_thread::get_id() != caller) elsewhere.fetch_add(1);
    });
  });
  EXPECT(inner.load() == 30, inner.load());
  EXPECT(elsewhere.load() == 0);
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
  EXPECT(default_threads() >= 1 && default_threads() <= affinity_cpus());
  EXPECT(cgroup_cpus() >= 0);
}

#if defined(__linux__)
LPN_TEST(thread_leaves_a_cpu_and_keeps_its_mask) {
  cpu_set_t before;
  EXPECT(sched_getaffinity(0, sizeof before, &before) == 0);
  int moves = 0;  // on a busy machine some may be undone at once
  for (int round = 0; round < 20; ++round) {
    const int cpu = current_cpu();
    leave_cpu(cpu);
    moves += current_cpu() != cpu ? 1 : 0;
    cpu_set_t after;
    EXPECT(sched_getaffinity(0, sizeof after, &after) == 0);
    EXPECT(CPU_EQUAL(&before, &after) != 0, "the affinity mask is another one");
  }
  EXPECT(moves > 0 || CPU_COUNT(&before) == 1);
  leave_cpu(-1);
  leave_cpu(1 << 20);
}
#endif

}  // namespace lpn
