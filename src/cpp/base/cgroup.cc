#include "base/cgroup.h"

#include <algorithm>
#include <fstream>

namespace lpn {
namespace {

// The lesser of two limits, of which 0 is none.
double lesser(double a, double b) { return a > 0 && b > 0 ? std::min(a, b) : std::max(a, b); }

// The least limit from `path` up to the mount point. Inside a container the path may lie outside
// its own mount; the walk then ends at the mount point, which holds the container's limits.
double least_up_to(const std::string& mount, std::string path, CgroupLimit limit) {
  double least = 0;
  while (true) {
    least = lesser(least, limit(mount + path));
    if (path.empty()) return least;
    path.erase(path.rfind('/'));
  }
}

}  // namespace

double least_cgroup_limit(CgroupLimit v2, const char* controller, CgroupLimit v1,
                          const std::string& root) {
  const std::string mount = root + "/sys/fs/cgroup";
  double least = 0;
  // Lines "id:controllers:path"; v2 has id 0 and no controllers.
  std::ifstream membership(root + "/proc/self/cgroup");
  std::string line;
  while (std::getline(membership, line)) {
    const std::size_t first = line.find(':');
    const std::size_t second = line.find(':', first + 1);
    if (first == std::string::npos || second == std::string::npos) continue;
    const std::string controllers = line.substr(first + 1, second - first - 1);
    std::string path = line.substr(second + 1);
    if (path.empty() || path[0] != '/') continue;
    if (path == "/") path.clear();
    if (controllers.empty()) {
      least = lesser(least, least_up_to(mount, path, v2));
    } else if (("," + controllers + ",").find("," + std::string(controller) + ",") !=
               std::string::npos) {
      // The hierarchy is mounted under the names of all its controllers, under this one's, or both.
      least = lesser(least, least_up_to(mount + "/" + controllers, path, v1));
      least = lesser(least, least_up_to(mount + "/" + controller, path, v1));
    }
  }
  return least;
}

}  // namespace lpn
