#include "base/memory_limit.h"

#include <array>
#include <cstdio>
#include <cstdlib>
#include <fstream>
#include <limits>

#include "base/cgroup.h"
#include "base/check.h"

#if defined(__unix__) || defined(__APPLE__)
#include <unistd.h>
#endif

namespace lpn {
namespace {

constexpr const char* kVariable = "LPN_MEMORY_LIMIT";

// The number that a file of one number holds; 0 for "max", which is none, and without the file.
double read_number(const std::string& path) {
  std::ifstream file(path);
  double value = 0;
  return file >> value ? value : 0;
}

// The machine's own memory in bytes; 0 where it cannot be known.
double machine_memory() {
#if defined(_SC_PHYS_PAGES)
  const long pages = sysconf(_SC_PHYS_PAGES);
  const long page = sysconf(_SC_PAGE_SIZE);
  if (pages > 0 && page > 0) return static_cast<double>(pages) * static_cast<double>(page);
#endif
  return 0;
}

std::int64_t parse_limit(const std::string& text) {
  constexpr std::int64_t kMost = std::numeric_limits<std::int64_t>::max();
  std::int64_t bytes = 0;
  std::size_t i = 0;
  bool fits = true;
  for (; i < text.size() && text[i] >= '0' && text[i] <= '9'; ++i) {
    const int digit = text[i] - '0';
    fits = fits && bytes <= (kMost - digit) / 10;
    if (fits) bytes = bytes * 10 + digit;
  }
  const std::string units = "KMGT";
  const std::size_t unit = i + 1 == text.size() ? units.find(text[i]) : std::string::npos;
  const std::int64_t factor = unit == std::string::npos ? 1 : std::int64_t{1} << (10 * (unit + 1));
  const bool whole = i == text.size() || unit != std::string::npos;
  LPN_CHECK(whole && fits && bytes >= 1 && bytes <= kMost / factor, "environment variable ",
            kVariable, " is \"", text,
            "\"; it must be a number of bytes, at least 1, or one with K, M, G or T, such as 2G");
  return bytes * factor;
}

}  // namespace

double cgroup_memory(const std::string& root) {
  return least_cgroup_limit(
      [](const std::string& directory) { return read_number(directory + "/memory.max"); }, "memory",
      [](const std::string& directory) {
        return read_number(directory + "/memory.limit_in_bytes");
      },
      root);
}

std::int64_t default_memory_limit() {
  const char* text = std::getenv(kVariable);
  if (text != nullptr && *text != '\0') return parse_limit(text);
  constexpr double kNone = 9e18;  // v1 says about 2^63 for no limit
  double limit = kNone;
  for (const double memory : {machine_memory(), cgroup_memory()}) {
    if (memory > 0 && memory < limit) limit = memory;
  }
  return static_cast<std::int64_t>(limit);
}

std::string format_bytes(double bytes) {
  constexpr std::array<const char*, 7> kUnits{"B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"};
  std::size_t unit = 0;
  for (; bytes >= 1024 && unit + 1 < kUnits.size(); ++unit) bytes /= 1024;
  std::array<char, 64> text{};
  std::snprintf(text.data(), text.size(), unit == 0 ? "%.0f %s" : "%.1f %s", bytes, kUnits[unit]);
  return text.data();
}

}  // namespace lpn
