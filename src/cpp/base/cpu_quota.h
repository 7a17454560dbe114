// How many CPUs this process may use.
#pragma once

#include <string>
#include <vector>

namespace lpn {

// The CPUs of the affinity mask, at least one.
std::vector<int> affinity_cpus();

// Physical cores that `cpus` are hardware threads of; one whose siblings the system does not name
// counts as a core. `root` stands in front of /sys.
int count_cores(const std::vector<int>& cpus, const std::string& root = "");

// The CPU quota of this process's cgroup (v2, or v1's cpu controller) and its ancestors, rounded up
// to whole CPUs; 0 when there is none. `root` stands in front of /proc and /sys.
int cgroup_cpus(const std::string& root = "");

}  // namespace lpn
