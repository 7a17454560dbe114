// Surviving fork(): threads of the parent do not exist in the child, and its locked mutexes stay
// locked.
#pragma once

#include <cstdint>
#include <mutex>

namespace lpn {

// How many forks lie between this process and the one that loaded the library. State that belongs
// to threads of another generation must be abandoned, not joined or locked.
std::uint64_t fork_generation();

// A mutex that no other thread holds at the moment of a fork, so that the child finds it free and
// what it guards whole. A thread must not hold two of them at once: fork() takes them all, in no
// order a caller could know.
class ForkSafeMutex {
 public:
  ForkSafeMutex();
  ~ForkSafeMutex();
  ForkSafeMutex(const ForkSafeMutex&) = delete;
  ForkSafeMutex& operator=(const ForkSafeMutex&) = delete;

  void lock() { mutex_.lock(); }
  void unlock() { mutex_.unlock(); }

 private:
  std::mutex mutex_;
};

}  // namespace lpn
