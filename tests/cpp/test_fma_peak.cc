// The chains that measure the CPU's limit do the arithmetic they say, on every tier.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/cpu_features.h"
#include "bfloat16_reference.h"
#include "kernels/fma_peak/fma_peak.h"
#include "test.h"

namespace lpn {
namespace {

constexpr double kEpsilon = 1.0 / (1 << 24);  // half an ulp of 1

LPN_TEST(fma_peak_matches_double_on_every_tier) {
  constexpr float kFactor = 0.96875f;
  constexpr float kAddend = -1.5f;
  std::vector<float> x(kFmaPeakValues);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) - 17.25f;
  for (const Isa isa : supported_isas()) {
    const Variant<FmaPeakFn<float>>& variant = select_fma_peak<float>(isa);
    for (const std::int64_t steps : {0, 1, 7, 100}) {
      std::vector<float> out(x.size(), 1e30f);
      variant.run({x.data(), kFactor, kAddend, steps, out.data()});
      for (std::size_t i = 0; i < x.size(); ++i) {
        double expected = x[i];
        double tolerance = 0;
        for (std::int64_t step = 0; step < steps; ++step) {
          const double product = expected * kFactor;
          expected = product + kAddend;
          // What was off shrinks; the scalar tier rounds the product and the sum.
          tolerance = tolerance * kFactor + kEpsilon * (std::abs(product) + std::abs(expected));
        }
        const double error = std::abs(static_cast<double>(out[i]) - expected);
        EXPECT(error <= 1.001 * tolerance, variant.name, " value ", i, " after ", steps,
               " steps: ", out[i], ", expected ", expected);
      }
    }
  }
}

// Two roundings a step: with the opposite of the product, which is exact, and with the product.
LPN_TEST(fma_peak_of_bfloat16_matches_pairs_of_products_on_every_tier) {
  constexpr float kFactor = 0.97f;
  constexpr float kAddend = -1.51f;
  const float product =
      test::value_of(test::nearest(kFactor)) * test::value_of(test::nearest(kAddend));
  std::vector<float> x(kFmaPeakValues);
  for (std::size_t i = 0; i < x.size(); ++i) x[i] = static_cast<float>(i) * 1e-3f - 0.01725f;
  for (const Isa isa : supported_isas()) {
    const Variant<FmaPeakFn<Bfloat16>>& variant = select_fma_peak<Bfloat16>(isa);
    for (const std::int64_t steps : {0, 1, 7, 100}) {
      std::vector<float> out(x.size(), 1e30f);
      variant.run({x.data(), kFactor, kAddend, steps, out.data()});
      for (std::size_t i = 0; i < x.size(); ++i) {
        float expected = x[i];
        for (std::int64_t step = 0; step < steps; ++step) {
          expected = expected - product;
          expected = expected + product;
        }
        EXPECT(out[i] == expected, variant.name, " value ", i, " after ", steps, " steps: ", out[i],
               ", expected ", expected);
      }
    }
  }
}

}  // namespace
}  // namespace lpn
