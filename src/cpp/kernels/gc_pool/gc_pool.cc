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

// e^x for x <= 0, by additions and multiplications alone: the C library's differs from one CPU to
// the next. x = n ln 2 + r with |r| <= ln 2 / 2, where e^r is within 2^-57 of its Taylor polynomial
// of degree 13. A NaN stays one.
double exp_nonpositive(double x) {
  constexpr double kLeast = -708.0;  // e^x is subnormal below
  if (x < kLeast) return 0.0;
  const double n = std::nearbyint(x * 1.4426950408889634);
  // ln 2 in two parts: the first has 32 bits, so n times it is exact.
  const double r = x - n * 6.93147180369123816490e-01 - n * 1.90821492927058770002e-10;
  double p = 1.0;
  for (int term = 13; term > 0; --term) p = 1.0 + p * r / term;
  return std::isnan(n) ? n : std::ldexp(p, static_cast<int>(n));
}

}  // namespace

template <class T>
const Variant<GcPoolFn<T>>& select_gc_pool(Isa isa) {
  return select_variant(kPoolVariants<T>, isa);
}
template const Variant<GcPoolFn<float>>& select_gc_pool<float>(Isa isa);
template const Variant<GcPoolFn<Bfloat16>>& select_gc_pool<Bfloat16>(Isa isa);
template const Variant<GcPoolFn<std::uint8_t>>& select_gc_pool<std::uint8_t>(Isa isa);

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
    return exp_nonpositive(static_cast<double>(partials[i * stride]) - largest);
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
