#include "kernels/gc_pool/gc_pool.h"

#include <cmath>
#include <limits>

namespace lpn {
namespace {

template <class T>
const Variant<GcPoolFn<T>> kPoolVariants[] = {
#define LPN_KERNEL(type, pool, transform, isa) variant_of<GcPoolFn<T>>(Isa::isa, #pool, pool),
#include "kernels/gc_pool/kernels.inc"
#undef LPN_KERNEL
};

const Variant<GcTransformFn> kTransformVariants[] = {
#define LPN_KERNEL(type, pool, transform, isa) {Isa::isa, #transform, transform},
#include "kernels/gc_pool/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

template <class T>
const Variant<GcPoolFn<T>>& select_gc_pool(Isa isa) {
  return select_variant(kPoolVariants<T>, isa);
}
template const Variant<GcPoolFn<float>>& select_gc_pool<float>(Isa isa);
template const Variant<GcPoolFn<Bfloat16>>& select_gc_pool<Bfloat16>(Isa isa);

const Variant<GcTransformFn>& select_gc_transform(Isa isa) {
  return select_variant(kTransformVariants, isa);
}

void merge_gc_partials(const float* partials, std::int64_t count, std::int64_t c, float* context) {
  const std::int64_t stride = 2 + c;
  double largest = -std::numeric_limits<double>::infinity();
  for (std::int64_t i = 0; i < count; ++i) {
    const double maximum = static_cast<double>(partials[i * stride]);
    largest = maximum > largest ? maximum : largest;
  }
  const auto factor = [&](std::int64_t i) {
    return std::exp(static_cast<double>(partials[i * stride]) - largest);
  };
  double sum = 0;
  for (std::int64_t i = 0; i < count; ++i) {
    sum += factor(i) * static_cast<double>(partials[i * stride + 1]);
  }
  // A block of channels at a time, so that each chunk's factor is computed once per block and no
  // memory is allocated.
  constexpr std::int64_t kBlock = 256;
  double block[kBlock];
  for (std::int64_t begin = 0; begin < c; begin += kBlock) {
    const std::int64_t n = c - begin < kBlock ? c - begin : kBlock;
    for (std::int64_t j = 0; j < n; ++j) block[j] = 0;
    for (std::int64_t i = 0; i < count; ++i) {
      const double f = factor(i);
      const float* values = partials + i * stride + 2 + begin;
      for (std::int64_t j = 0; j < n; ++j) block[j] += f * static_cast<double>(values[j]);
    }
    for (std::int64_t j = 0; j < n; ++j) {
      context[begin + j] = static_cast<float>(block[j] / sum);
    }
  }
}

}  // namespace lpn
