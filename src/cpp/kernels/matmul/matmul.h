// A matrix product in double, for weights that are multiplied before the first run.
#pragma once

#include <cstdint>

#include "kernels/variants.h"

namespace lpn {

// out[i, j] = sum_k a[i, k] * b[k, j], every sum in the order of k. The values of `a` are floats':
// products are then exact, and every tier gives the bits of a plain double loop, with fma or
// without.
struct MatmulArgs {
  const double* a;  // rows x depth
  const float* b;   // depth x columns
  double* out;      // rows x columns
  std::int64_t rows, depth, columns;
};

using MatmulFn = void (*)(const MatmulArgs& args);

#define LPN_KERNEL(name, isa) void name(const MatmulArgs& args);
#include "kernels/matmul/kernels.inc"
#undef LPN_KERNEL

const Variant<MatmulFn>& select_matmul(Isa isa);

}  // namespace lpn
