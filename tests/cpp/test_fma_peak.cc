// The chains that measure the CPU's limit do the arithmetic they say, on every tier.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <vector>

#include "base/cpu_features.h"
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
    const Variant<FmaPeakFn>& variant = select_fma_peak(isa);
    for (const std::int64_t steps : {0, 1, 7, 100}) {
      std::vector<float> out(x.size(), 1e30f);
      variant.run(FmaPeakArgs{x.data(), kFactor, kAddend, steps, out.data()});
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

}  // namespace
}  // namespace lpn
