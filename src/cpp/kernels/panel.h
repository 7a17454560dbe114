// The packed-panel weight layout that gemm_tile-inl.h reads: [ceil(n / panel)][ceil(k / group)]
// [panel][group] for groups of kTermGroup<T> terms, zeros beyond n and k.
#pragma once

#include <cstdint>
#include <type_traits>

#include "base/bfloat16.h"
#include "kernels/term_group.h"

namespace lpn {

template <class T>
std::int64_t packed_panels_size(std::int64_t panel, std::int64_t k, std::int64_t n) {
  return (n + panel - 1) / panel * panel * grouped_terms<T>(k);
}

// weight(t, o) gives the weight of term t in 0..k-1 for output o in 0..n-1, as a T or as a float,
// which is rounded to T.
// Terms are taken in blocks that read whole cache lines of weights whose terms lie one after the
// other, and whose part of the panel stays in the L1 cache while its columns are written one by
// one.
template <class T, class Weight>
void pack_panels(std::int64_t panel, std::int64_t k, std::int64_t n, const Weight& weight,
                 T* packed) {
  constexpr std::int64_t kBlock = 16;
  constexpr std::int64_t kGroup = kTermGroup<T>;
  static_assert(kBlock % kGroup == 0, "blocks of whole groups");
  const std::int64_t terms = grouped_terms<T>(k);
  for (std::int64_t column = 0; column < n; column += panel, packed += panel * terms) {
    const std::int64_t columns = n - column < panel ? n - column : panel;
    for (std::int64_t begin = 0; begin < terms; begin += kBlock) {
      const std::int64_t end = terms - begin < kBlock ? terms : begin + kBlock;
      for (std::int64_t i = 0; i < panel; ++i) {
        for (std::int64_t t = begin; t < end; ++t) {
          T value{};
          if (i < columns && t < k) {
            if constexpr (std::is_same_v<decltype(weight(t, column)), T>) {
              value = weight(t, column + i);
            } else {
              value = narrow<T>(weight(t, column + i));
            }
          }
          packed[(t / kGroup * panel + i) * kGroup + t % kGroup] = value;
        }
      }
    }
  }
}

}  // namespace lpn
