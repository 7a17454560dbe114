#include "base/cpu_quota.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

#include "base/cgroup.h"

#if defined(__linux__)
#include <sched.h>
#endif

namespace lpn {
namespace {

// quota / period of one cgroup directory in CPUs; 0 when unlimited or unreadable.
double quota_v2(const std::string& directory) {
  std::ifstream file(directory + "/cpu.max");
  std::string quota;
  double period = 0;
  if (!(file >> quota >> period) || quota == "max" || period <= 0) return 0;
  std::istringstream number(quota);
  double value = 0;
  return number >> value ? value / period : 0;
}

double quota_v1(const std::string& directory) {
  std::ifstream quota_file(directory + "/cpu.cfs_quota_us");
  std::ifstream period_file(directory + "/cpu.cfs_period_us");
  double quota = 0;
  double period = 0;
  if (!(quota_file >> quota) || !(period_file >> period) || quota <= 0 || period <= 0) return 0;
  return quota / period;
}

}  // namespace

int affinity_cpus() {
#if defined(__linux__)
  // The kernel refuses a mask smaller than its own; 2^16 CPUs are beyond any.
  for (int capacity = 1024; capacity <= 1 << 16; capacity *= 4) {
    cpu_set_t* set = CPU_ALLOC(static_cast<std::size_t>(capacity));
    if (set == nullptr) break;
    const std::size_t size = CPU_ALLOC_SIZE(static_cast<std::size_t>(capacity));
    const bool ok = sched_getaffinity(0, size, set) == 0;
    const int count = ok ? CPU_COUNT_S(size, set) : 0;
    CPU_FREE(set);
    if (count > 0) return count;
  }
#endif
  return std::max(1, static_cast<int>(std::thread::hardware_concurrency()));
}

int cgroup_cpus(const std::string& root) {
  const double quota = least_cgroup_limit(quota_v2, "cpu", quota_v1, root);
  return quota > 0 ? std::max(1, static_cast<int>(std::ceil(std::min(quota, 1e6)))) : 0;
}

}  // namespace lpn
