// A registry of test functions and one macro to check with: all that these tests need.
#pragma once

#include <sstream>
#include <string>
#include <vector>

namespace lpn::test {

struct Test {
  const char* name;
  void (*run)();
};

std::vector<Test>& registry();

// Records a failed expectation of the running test; safe from several threads.
void fail(const char* file, int line, const std::string& message);

struct Registrar {
  Registrar(const char* name, void (*run)()) { registry().push_back({name, run}); }
};

template <class... Parts>
std::string concatenate(const Parts&... parts) {
  std::ostringstream text;
  (text << ... << parts);
  return text.str();
}

}  // namespace lpn::test

// Defines and registers a test: LPN_TEST(name) { ... }
#define LPN_TEST(name)                                                              \
  static void lpn_test_##name();                                                    \
  static const ::lpn::test::Registrar lpn_registrar_##name{#name, lpn_test_##name}; \
  static void lpn_test_##name()

// EXPECT(condition, parts of a message...): the test goes on after a failure and is reported as
// failed.
#define EXPECT(condition, ...)                                                                \
  do {                                                                                        \
    if (!(condition)) {                                                                       \
      ::lpn::test::fail(__FILE__, __LINE__,                                                   \
                        ::lpn::test::concatenate("expected " #condition " ", ##__VA_ARGS__)); \
    }                                                                                         \
  } while (false)
