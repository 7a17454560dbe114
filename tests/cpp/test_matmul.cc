// matmul gives the bits of a plain double loop, on every supported tier.
#include "kernels/matmul/matmul.h"

#include <cstdint>
#include <vector>

#include "base/cpu_features.h"
#include "spatial_problem.h"
#include "test.h"

namespace lpn {
namespace {

using namespace test;

void check_matmul(int64_t rows, int64_t depth, int64_t columns) {
  const Floats a = random_floats(rows * depth, 1);
  const Floats b = random_floats(depth * columns, 2);
  const std::vector<double> widened(a.begin(), a.end());
  std::vector<double> expected(at(rows * columns), 0.0);
  for (int64_t i = 0; i < rows; ++i) {
    for (int64_t j = 0; j < columns; ++j) {
      double& sum = expected[at(i * columns + j)];
      for (int64_t k = 0; k < depth; ++k)
        sum += widened[at(i * depth + k)] * b[at(k * columns + j)];
    }
  }
  for (const Isa isa : supported_isas()) {
    std::vector<double> out(expected.size(), 1e300);
    const Variant<MatmulFn>& variant = select_matmul(isa);
    variant.run({widened.data(), b.data(), out.data(), rows, depth, columns});
    EXPECT(out == expected, variant.name, " of ", rows, " x ", depth, " x ", columns);
  }
}

}  // namespace

LPN_TEST(matmul_matches_double_to_the_bit_on_every_tier) {
  for (const int64_t rows : {1, 5, 6, 7, 13}) {
    for (const int64_t depth : {1, 2, 65}) {
      for (int64_t columns = 1; columns <= 41; ++columns) check_matmul(rows, depth, columns);
    }
  }
  check_matmul(32, 512, 512);
}

}  // namespace lpn
