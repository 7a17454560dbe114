// How many CPUs this process may use.
#pragma once

#include <string>

namespace lpn {

// CPUs of the affinity mask, at least 1.
int affinity_cpus();

// The CPU quota of this process's cgroup (v2, or v1's cpu controller) and its ancestors, rounded up
// to whole CPUs; 0 when there is none. `root` stands in front of /proc and /sys.
int cgroup_cpus(const std::string& root = "");

}  // namespace lpn
