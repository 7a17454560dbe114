// lpn_tests [FILTER]: runs every test whose name contains FILTER and exits with 1 if one failed or
// none ran.
#include <cstdio>
#include <cstring>
#include <exception>
#include <mutex>

#include "test.h"

namespace lpn::test {
namespace {

constexpr int kReportedFailures = 10;  // per test; the rest is only counted

std::mutex failure_mutex;
int failures_of_test = 0;

}  // namespace

std::vector<Test>& registry() {
  static std::vector<Test> tests;
  return tests;
}

void fail(const char* file, int line, const std::string& message) {
  const std::lock_guard<std::mutex> lock(failure_mutex);
  if (++failures_of_test <= kReportedFailures) {
    std::fprintf(stderr, "  %s:%d: %s\n", file, line, message.c_str());
  }
}

}  // namespace lpn::test

int main(int argc, char** argv) {
  using namespace lpn::test;
  const char* filter = argc > 1 ? argv[1] : "";
  int ran = 0;
  int failed = 0;
  for (const Test& test : registry()) {
    if (std::strstr(test.name, filter) == nullptr) continue;
    failures_of_test = 0;
    try {
      test.run();
    } catch (const std::exception& error) {
      fail(test.name, 0, std::string("threw ") + error.what());
    }
    ++ran;
    failed += failures_of_test > 0 ? 1 : 0;
    std::printf("%s %s\n", failures_of_test > 0 ? "FAIL" : "ok  ", test.name);
    std::fflush(stdout);
  }
  std::printf("%d tests, %d failed\n", ran, failed);
  return failed > 0 || ran == 0 ? 1 : 0;
}
