// How much memory this process may use.
#pragma once

#include <cstdint>
#include <string>

namespace lpn {

// The memory limit of this process's cgroup (v2, or v1's memory controller) and its ancestors in
// bytes; 0 when there is none. `root` stands in front of /proc and /sys.
double cgroup_memory(const std::string& root = "");

// Bytes that one run may use by default: LPN_MEMORY_LIMIT when set (a number of bytes, or one with
// K, M, G or T; validated), else what the machine or the cgroup has.
std::int64_t default_memory_limit();

// How a message about the limit ends.
constexpr const char* kRaiseMemoryLimit =
    " (memory_limit, LPN_MEMORY_LIMIT, or what the machine or its cgroup has); raise it, or give a "
    "smaller image or network";

// "12.9 GiB".
std::string format_bytes(double bytes);

}  // namespace lpn
