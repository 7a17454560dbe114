// The limits that control groups set for this process.
#pragma once

#include <string>

namespace lpn {

// A limit that one cgroup directory sets; 0 when it sets none or cannot be read.
using CgroupLimit = double (*)(const std::string& directory);

// The least limit of this process's cgroups and their ancestors: `v2` reads it in the unified
// hierarchy, `v1` in that of `controller` ("cpu", "memory"). 0 when there is none. `root` stands in
// front of /proc and /sys.
double least_cgroup_limit(CgroupLimit v2, const char* controller, CgroupLimit v1,
                          const std::string& root = "");

}  // namespace lpn
