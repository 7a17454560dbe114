#include "base/cpu_quota.h"

#include <algorithm>
#include <cmath>
#include <fstream>
#include <sstream>
#include <string>
#include <thread>

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

// The tightest quota from `path` up to the mount point. Inside a container the path may lie outside
// its own mount; the walk then ends at the mount point, which holds the container's limits.
template <class Quota>
double tightest(const std::string& mount, std::string path, const Quota& quota) {
  double least = 0;
  while (true) {
    const double here = quota(mount + path);
    if (here > 0) least = least > 0 ? std::min(least, here) : here;
    if (path.empty()) return least;
    path.erase(path.rfind('/'));
  }
}

bool lists_cpu(const std::string& controllers) {
  return ("," + controllers + ",").find(",cpu,") != std::string::npos;
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

int cgroup_cpus() {
  double least = 0;
  std::ifstream membership(
      "/proc/self/cgroup");  // lines "id:controllers:path"; v2 has id 0 and no controllers
  std::string line;
  while (std::getline(membership, line)) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    if (path.empty() || path[0] != '/') continue;
    if (path == "/") path.clear();
    double quota = 0;
    if (controllers.empty()) {
      quota = tightest("/sys/fs/cgroup", path, quota_v2);
    } else if (lists_cpu(controllers)) {
      quota = tightest("/sys/fs/cgroup/" + controllers, path, quota_v1);
      if (quota == 0) quota = tightest("/sys/fs/cgroup/cpu", path, quota_v1);
    }
    if (quota > 0) least = least > 0 ? std::min(least, quota) : quota;
  }
  return least > 0 ? std::max(1, static_cast<int>(std::ceil(std::min(least, 1e6)))) : 0;
}

}  // namespace lpn
