// How many terms of a matrix product's column lie side by side in packed weights, in a header that
// ISA files may include.
#pragma once

#include <cstdint>

namespace lpn {
namespace {

// As many as a float's four bytes hold.
template <class T>
constexpr std::int64_t kTermGroup = sizeof(float) / sizeof(T);

// `k` terms in whole groups.
template <class T>
constexpr std::int64_t grouped_terms(std::int64_t k) {
  return (k + kTermGroup<T> - 1) / kTermGroup<T> * kTermGroup<T>;
}

}  // namespace
}  // namespace lpn
