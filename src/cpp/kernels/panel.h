// The packed-panel weight layout that gemm_tile-inl.h reads: [ceil(n / panel)][k][panel], zeros
// beyond n.
#pragma once

#include <cstdint>

namespace lpn {

inline std::int64_t packed_panels_size(std::int64_t panel, std::int64_t k, std::int64_t n) {
  return (n + panel - 1) / panel * panel * k;
}

// weight(t, o) gives the weight of term t in 0..k-1 for output o in 0..n-1. Terms are taken in
// blocks that read whole cache lines of weights whose terms lie one after the other, and whose part
// of the panel stays in the L1 cache while its columns are written one by one.
template <class Weight>
void pack_panels(std::int64_t panel, std::int64_t k, std::int64_t n, const Weight& weight,
                 float* packed) {
  constexpr std::int64_t kBlock = 16;
  for (std::int64_t column = 0; column < n; column += panel, packed += panel * k) {
    const std::int64_t columns = n - column < panel ? n - column : panel;
    for (std::int64_t begin = 0; begin < k; begin += kBlock) {
      const std::int64_t end = k - begin < kBlock ? k : begin + kBlock;
      for (std::int64_t i = 0; i < columns; ++i) {
        for (std::int64_t t = begin; t < end; ++t) packed[t * panel + i] = weight(t, column + i);
      }
      for (std::int64_t t = begin; t < end; ++t) {
        for (std::int64_t i = columns; i < panel; ++i) packed[t * panel + i] = 0.0f;
      }
    }
  }
}

}  // namespace lpn
