#include "base/fork.h"

#include <pthread.h>

#include <algorithm>
#include <atomic>
#include <vector>

namespace lpn {
namespace {

std::atomic<std::uint64_t> generation{0};

// Every live ForkSafeMutex. Never destroyed: a fork may come after static destruction began.
struct Registry {
  std::mutex mutex;
  std::vector<ForkSafeMutex*> members;

  Registry() {
    pthread_atfork([] { registry().lock_all(); }, [] { registry().unlock_all(); },
                   [] {
                     generation.fetch_add(1, std::memory_order_relaxed);
                     registry().unlock_all();
                   });
  }

  static Registry& registry() {
    static Registry* const instance = new Registry;
    return *instance;
  }

  void lock_all() {
    mutex.lock();
    for (ForkSafeMutex* member : members) member->lock();
  }

  void unlock_all() {
    for (ForkSafeMutex* member : members) member->unlock();
    mutex.unlock();
  }
};

}  // namespace

std::uint64_t fork_generation() {
  Registry::registry();
  return generation.load(std::memory_order_relaxed);
}

ForkSafeMutex::ForkSafeMutex() {
  Registry& registry = Registry::registry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  registry.members.push_back(this);
}

ForkSafeMutex::~ForkSafeMutex() {
  Registry& registry = Registry::registry();
  const std::lock_guard<std::mutex> lock(registry.mutex);
  registry.members.erase(std::find(registry.members.begin(), registry.members.end(), this));
}

}  // namespace lpn
