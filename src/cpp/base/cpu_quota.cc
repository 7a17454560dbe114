#include "base/cpu_quota.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <numeric>
#include <set>
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

std::vector<int> affinity_cpus() {
  std::vector<int> cpus;
#if defined(__linux__)
  // The kernel refuses a mask smaller than its own; 2^16 CPUs are beyond any.
  for (int capacity = 1024; capacity <= 1 << 16 && cpus.empty(); capacity *= 4) {
    cpu_set_t* set = CPU_ALLOC(static_cast<std::size_t>(capacity));
    if (set == nullptr) break;
    const std::size_t size = CPU_ALLOC_SIZE(static_cast<std::size_t>(capacity));
    const bool ok = sched_getaffinity(0, size, set) == 0;
    for (int cpu = 0; ok && cpu < capacity; ++cpu)
      if (CPU_ISSET_S(static_cast<std::size_t>(cpu), size, set)) cpus.push_back(cpu);
    CPU_FREE(set);
  }
#endif
  if (cpus.empty()) {
    cpus.resize(std::max(1u, std::thread::hardware_concurrency()));
    std::iota(cpus.begin(), cpus.end(), 0);
  }
  return cpus;
}

int count_cores(const std::vector<int>& cpus, const std::string& root) {
  const std::string directory = root + "/sys/devices/system/cpu";
  const auto count = static_cast<int>(cpus.size());
  std::string text;
  if (std::ifstream(directory + "/smt/active") >> text && text == "0") return count;
  std::set<std::string> cores;
  int unknown = 0;
  for (const int cpu : cpus) {
    // "0,64" or "0-1": the same text for all CPUs of a core.
    const std::string file = directory + "/cpu" + std::to_string(cpu);
    if (std::ifstream(file + "/topology/thread_siblings_list") >> text) {
      cores.insert(text);
    } else {
      ++unknown;
    }
  }
  return static_cast<int>(cores.size()) + unknown;
}

int cgroup_cpus(const std::string& root) {
  const double quota = least_cgroup_limit(quota_v2, "cpu", quota_v1, root);
  return quota > 0 ? std::max(1, static_cast<int>(std::ceil(std::min(quota, 1e6)))) : 0;
}

}  // namespace lpn
