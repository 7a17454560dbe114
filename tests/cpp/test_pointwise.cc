// pointwise on every supported tier: against double precision within the rounding error of its
// number of terms, bit-equal however the rows are cut and between avx2 and avx512, and nothing
// written beyond its rows and columns.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/cpu_features.h"
#include "kernels/pointwise/pointwise.h"
#include "test.h"

namespace lpn {
namespace {

using std::int64_t;
using Floats = std::vector<float>;

struct Shape {
  int64_t m, k, n;
  int64_t lda_gap = 0;  // floats between the rows of a, and of the residual and the result
  int64_t out_gap = 0;
  bool bias = true;
  bool scale = false;
  bool residual = false;
  Activation activation = Activation::kNone;
};

constexpr float kUntouched = -12345.0f;

Floats random_floats(int64_t size, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  Floats values(static_cast<std::size_t>(size));
  for (float& value : values) value = uniform(generator);
  return values;
}

double activated(double value, Activation activation) {
  if (activation == Activation::kNone) return value;
  value = std::max(value, 0.0);
  return activation == Activation::kRelu6 ? std::min(value, 6.0) : value;
}

struct Problem {
  explicit Problem(const Shape& given)
      : shape(given),
        lda(given.k + given.lda_gap),
        ld_out(given.n + given.out_gap),
        // The last row ends with its last value: one float more would be a stray read.
        a(random_floats((given.m - 1) * lda + given.k, 1)),
        w(random_floats(given.n * given.k, 2)),
        bias(random_floats(given.n, 3)),
        scale(random_floats(given.n, 4)),
        residual(random_floats((given.m - 1) * ld_out + given.n, 5)) {}

  Floats run(Isa isa, int64_t rows_per_call) const {
    // Panels are read by aligned loads, as the engine's weights allow.
    Buffer<float> packed(
        static_cast<std::size_t>(pointwise_packed_size<float>(isa, shape.k, shape.n)));
    pack_pointwise(isa, w.data(), shape.k, shape.n, packed.data());
    Floats out(residual.size(), kUntouched);
    for (int64_t row = 0; row < shape.m; row += rows_per_call) {
      PointwiseArgs<float, float> args{};
      args.a = a.data() + row * lda;
      args.lda = lda;
      args.packed_b = packed.data();
      args.bias = shape.bias ? bias.data() : nullptr;
      args.scale = shape.scale ? scale.data() : nullptr;
      args.residual = shape.residual ? residual.data() + row * ld_out : nullptr;
      args.ld_residual = ld_out;
      args.out = out.data() + row * ld_out;
      args.ld_out = ld_out;
      args.m = std::min(rows_per_call, shape.m - row);
      args.k = shape.k;
      args.n = shape.n;
      args.activation = shape.activation;
      select_pointwise<float, float>(isa).run(args);
    }
    return out;
  }

  // Checks one element against double; gives its error in units of its bound.
  double error(const Floats& out, int64_t row, int64_t column) const {
    double sum = 0.0;
    double magnitude = 0.0;
    const auto add = [&](double term) {
      sum += term;
      magnitude += std::fabs(term);
    };
    for (int64_t t = 0; t < shape.k; ++t) {
      add(static_cast<double>(a[static_cast<std::size_t>(row * lda + t)]) *
          w[static_cast<std::size_t>(column * shape.k + t)]);
    }
    if (shape.bias) add(bias[static_cast<std::size_t>(column)]);
    if (shape.scale) {
      sum *= scale[static_cast<std::size_t>(column)];
      magnitude *= std::fabs(scale[static_cast<std::size_t>(column)]);
    }
    const std::size_t at = static_cast<std::size_t>(row * ld_out + column);
    if (shape.residual) add(residual[at]);
    // One rounding per fused multiply-add, and one each for the three steps of the epilogue.
    const double bound = static_cast<double>(shape.k + 4) * std::ldexp(magnitude, -24);
    return std::fabs(out[at] - activated(sum, shape.activation)) / bound;
  }

  Shape shape;
  int64_t lda, ld_out;
  Floats a, w, bias, scale, residual;
};

bool same_bits(const Floats& x, const Floats& y) {
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(float)) == 0;
}

void check(const Shape& shape) {
  const Problem problem(shape);
  Floats avx2;
  for (const Isa isa : supported_isas()) {
    const std::string where =
        test::concatenate(shape.m, "x", shape.k, "x", shape.n, " on ", isa_name(isa));
    const Floats out = problem.run(isa, shape.m);
    double worst = 0.0;
    for (int64_t row = 0; row < shape.m; ++row) {
      for (int64_t column = 0; column < shape.n; ++column) {
        const double error = problem.error(out, row, column);
        worst = error <= worst ? worst : error;  // a NaN stays
      }
      for (int64_t gap = row * problem.ld_out + shape.n;
           row + 1 < shape.m && gap < (row + 1) * problem.ld_out; ++gap) {
        EXPECT(out[static_cast<std::size_t>(gap)] == kUntouched, where, ": wrote past row ", row);
      }
    }
    EXPECT(worst <= 1.0, where, ": ", worst, " times the bound");
    for (const int64_t rows : {int64_t{1}, int64_t{5}, kPointwiseRowTile, int64_t{7}}) {
      EXPECT(same_bits(out, problem.run(isa, rows)), where, " in calls of ", rows, " rows");
    }
    if (isa == Isa::kAvx2) avx2 = out;
    if (isa == Isa::kAvx512 && !avx2.empty()) EXPECT(same_bits(out, avx2), where, ", not avx2's");
  }
}

LPN_TEST(pointwise_at_lpn_shapes) {
  for (const int64_t width : {64, 128, 256}) {
    check({48, width, width, 0, 0, true, false, true, Activation::kRelu});
  }
  check({24, 512, 512, 0, 0, true, true, true, Activation::kRelu});
  check({48, 256, 17});
  check({12, 64, 128, 64});  // a strided shortcut: every other pixel of a row
}

LPN_TEST(pointwise_at_odd_shapes) {
  for (const int64_t m : {1, 2, 5, 6, 7, 13}) {
    for (const int64_t k : {1, 3, 17}) {
      for (const int64_t n : {1, 5, 8, 15, 16, 17, 31, 33, 63, 64, 65, 129}) {
        check({m, k, n, m % 3, n % 2, m % 2 == 0, k == 3, n % 3 == 0,
               k == 17 ? Activation::kRelu6 : Activation::kNone});
      }
    }
  }
}

// The lone column's lanes are terms: sixteen chains, whose last terms are ragged.
LPN_TEST(pointwise_with_a_lone_column) {
  for (const int64_t n : {1, 17, 65, 81}) {
    for (const int64_t k : {15, 16, 24, 31, 32, 33, 47}) {
      for (const int64_t m : {1, 4, 5, 12, 13}) {
        check({m, k, n, m % 2, k % 3, k % 2 == 0, m == 5, m != 4, Activation::kRelu});
      }
    }
  }
}

LPN_TEST(pointwise_without_rows) {
  const Floats w = random_floats(17 * 3, 2);
  float untouched = kUntouched;
  for (const Isa isa : supported_isas()) {
    Buffer<float> packed(static_cast<std::size_t>(pointwise_packed_size<float>(isa, 3, 17)));
    pack_pointwise(isa, w.data(), 3, 17, packed.data());
    PointwiseArgs<float, float> args{};
    args.packed_b = packed.data();
    args.out = &untouched;
    args.lda = args.k = 3;
    args.ld_out = args.n = 17;
    select_pointwise<float, float>(isa).run(args);
    EXPECT(untouched == kUntouched, isa_name(isa));
  }
}

// Only asked for, never read: neither what is fetched nor how many rows share it changes a bit.
LPN_TEST(pointwise_fetches_what_the_caller_names) {
  const Problem problem(Shape{14, 9, 33});
  const Floats next = random_floats(1000, 7);
  for (const Isa isa : supported_isas()) {
    Buffer<float> packed(static_cast<std::size_t>(pointwise_packed_size<float>(isa, 9, 33)));
    pack_pointwise(isa, problem.w.data(), 9, 33, packed.data());
    for (const int64_t size : {0, 1, 63, 64, 65, 4000}) {
      Floats out(problem.residual.size(), kUntouched);
      PointwiseArgs<float, float> args{};
      args.a = problem.a.data();
      args.packed_b = packed.data();
      args.bias = problem.bias.data();
      args.out = out.data();
      args.m = 14;
      args.lda = args.k = 9;
      args.ld_out = args.n = 33;
      args.next_weights = next.data();
      args.next_bytes = size;
      select_pointwise<float, float>(isa).run(args);
      EXPECT(same_bits(out, problem.run(isa, 14)), size, " on ", isa_name(isa));
    }
  }
}

LPN_TEST(pointwise_result_may_replace_the_residual) {
  const Shape shape{13, 33, 65, 0, 0, true, true, true, Activation::kRelu};
  const Problem problem(shape);
  for (const Isa isa : supported_isas()) {
    const Floats expected = problem.run(isa, shape.m);
    Buffer<float> packed(
        static_cast<std::size_t>(pointwise_packed_size<float>(isa, shape.k, shape.n)));
    pack_pointwise(isa, problem.w.data(), shape.k, shape.n, packed.data());
    Floats out = problem.residual;
    PointwiseArgs<float, float> args{problem.a.data(),
                                     problem.lda,
                                     packed.data(),
                                     problem.bias.data(),
                                     problem.scale.data(),
                                     out.data(),
                                     problem.ld_out,
                                     out.data(),
                                     problem.ld_out,
                                     shape.m,
                                     shape.k,
                                     shape.n,
                                     shape.activation,
                                     nullptr,
                                     0};
    select_pointwise<float, float>(isa).run(args);
    EXPECT(same_bits(out, expected), isa_name(isa));
  }
}

LPN_TEST(pointwise_panel_is_the_tile_of_its_tier) {
  for (const Isa isa : supported_isas()) {
    // Column `panel` of the weights must open the second panel, whatever the tier's tile is.
    const int64_t panel = select_pointwise<float, float>(isa).panel;
    const int64_t k = 3;
    const Floats w = random_floats((panel + 2) * k, 6);
    Buffer<float> packed(static_cast<std::size_t>(pointwise_packed_size<float>(isa, k, panel + 2)));
    EXPECT(packed.size() == static_cast<std::size_t>(2 * panel * k), isa_name(isa));
    pack_pointwise(isa, w.data(), k, panel + 2, packed.data());
    for (int64_t t = 0; t < k; ++t) {
      EXPECT(packed[static_cast<std::size_t>((k + t) * panel)] ==
                 w[static_cast<std::size_t>(panel * k + t)],
             isa_name(isa));
    }
  }
}

}  // namespace
}  // namespace lpn
