// pointwise of bytes on every supported tier: to the bit what exact integers and an epilogue of
// single roundings give, however the rows are cut; nothing read past a row's last term or written
// past its columns.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "int8_reference.h"
#include "kernels/pointwise/pointwise.h"
#include "test.h"

namespace lpn {
namespace {

using std::int64_t;
using test::Bytes;
using test::SignedBytes;
using Floats = std::vector<float>;

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::size_t at(int64_t i) { return static_cast<std::size_t>(i); }

struct Shape {
  int64_t m, k, n;
  int64_t lda_gap = 0;  // elements between the rows of a, and of the residual and the result
  int64_t out_gap = 0;
  bool gate = false;
  bool residual = false;
  float least = 0.0f;
  float most = 255.0f;
};

template <class Out>
constexpr Out kUntouched = static_cast<Out>(77);

// Bytes spread over 0..255 and some way beyond both ends: a sum of k products is of the order of
// 10^4 sqrt(k).
template <class Out>
struct Problem {
  explicit Problem(const Shape& given)
      : shape(given),
        lda(given.k + given.lda_gap),
        ld_out(given.n + given.out_gap),
        // The last row ends with its last value: one element more would be a stray read.
        a(test::random_bytes((given.m - 1) * lda + given.k, 1)),
        w(test::random_weights(given.n * given.k, 2)),
        residual(test::random_bytes((given.m - 1) * ld_out + given.n, 5)) {
    std::mt19937 generator(3);
    const auto uniform = [&](float low, float high) {
      return std::uniform_real_distribution<float>(low, high)(generator);
    };
    const float unit = 80.0f / (1e4f * std::sqrt(static_cast<float>(given.k)));
    for (int64_t column = 0; column < given.n; ++column) {
      multiplier.push_back(uniform(0.5f, 1.5f) * unit);
      bias.push_back(uniform(80.0f, 170.0f));
      gate.push_back(uniform(0.0f, 1.0f));
    }
  }

  std::vector<Out> run(Isa isa, int64_t rows_per_call) const {
    Bytes packed(at(pointwise_packed_size<std::uint8_t>(isa, shape.k, shape.n)));
    pack_pointwise_s8(isa, w.data(), shape.k, shape.n, packed.data());
    std::vector<Out> out(residual.size(), kUntouched<Out>);
    for (int64_t row = 0; row < shape.m; row += rows_per_call) {
      PointwiseArgs<std::uint8_t, Out> args{};
      args.m = std::min(rows_per_call, shape.m - row);
      Bytes scratch(at(pointwise_scratch_size(isa, args.m, shape.k)));
      args.a = a.data() + row * lda;
      args.lda = lda;
      args.packed_b = packed.data();
      args.multiplier = multiplier.data();
      args.bias = bias.data();
      args.gate = shape.gate ? gate.data() : nullptr;
      args.offset = shape.gate ? kOffset : std::numeric_limits<float>::quiet_NaN();
      args.residual = shape.residual ? residual.data() + row * ld_out : nullptr;
      args.ld_residual = ld_out;
      args.residual_scale = kResidualScale;
      args.out = out.data() + row * ld_out;
      args.ld_out = ld_out;
      args.k = shape.k;
      args.n = shape.n;
      args.least = shape.least;
      args.most = shape.most;
      args.scratch = scratch.data();
      select_pointwise<std::uint8_t, Out>(isa).run(args);
    }
    return out;
  }

  Out expected(int64_t row, int64_t column) const {
    int64_t sum = 0;
    for (int64_t t = 0; t < shape.k; ++t)
      sum += int64_t{a[at(row * lda + t)]} * w[at(column * shape.k + t)];
    float v = std::fma(test::float_of(sum), multiplier[at(column)], bias[at(column)]);
    if (shape.gate) {
      volatile float gated = v * gate[at(column)];
      v = gated + kOffset;
    }
    if (shape.residual) {
      const auto byte = static_cast<float>(residual[at(row * ld_out + column)]);
      v = std::fma(byte, kResidualScale, v);
    }
    return test::converted<Out>(v, shape.least, shape.most);
  }

  static constexpr float kOffset = 13.7f;
  static constexpr float kResidualScale = 0.371f;
  Shape shape;
  int64_t lda, ld_out;
  Bytes a;
  SignedBytes w;
  Bytes residual;
  Floats multiplier, bias, gate;
};

template <class T>
bool same(const std::vector<T>& x, const std::vector<T>& y) {
  return x.size() == y.size() && std::memcmp(x.data(), y.data(), x.size() * sizeof(T)) == 0;
}

template <class Out>
void check_of(const Shape& shape) {
  const Problem<Out> problem(shape);
  std::vector<Out> expected(problem.residual.size(), kUntouched<Out>);
  for (int64_t row = 0; row < shape.m; ++row) {
    for (int64_t column = 0; column < shape.n; ++column)
      expected[at(row * problem.ld_out + column)] = problem.expected(row, column);
  }
  for (const Isa isa : supported_isas()) {
    const std::string where =
        test::concatenate(shape.m, "x", shape.k, "x", shape.n, " to ", sizeof(Out), " bytes on ",
                          select_pointwise<std::uint8_t, Out>(isa).name);
    for (const int64_t rows : {shape.m, int64_t{1}, int64_t{5}, kPointwiseRowTile, int64_t{7}}) {
      const std::vector<Out> out = problem.run(isa, rows);
      std::size_t first = 0;
      while (first < out.size() && std::memcmp(&out[first], &expected[first], sizeof(Out)) == 0)
        ++first;
      EXPECT(first == out.size(), where, " in calls of ", rows, " rows: element ", first, " is ",
             static_cast<double>(out[first]), " instead of ", static_cast<double>(expected[first]));
    }
  }
}

void check(const Shape& shape) {
  check_of<std::uint8_t>(shape);
  check_of<float>(shape);
}

LPN_TEST(int8_pointwise_at_lpn_shapes) {
  for (const int64_t width : {64, 128, 256}) check({48, width, width, 0, 0, false, true});
  check({60, 512, 512, 0, 0, true, true});
  check_of<float>({48, 256, 17, 0, 0, false, false, -kInfinity, kInfinity});
  check({12, 64, 128, 64});  // a strided shortcut: every other pixel of a row
}

// A zero point below 0, ReLU6 above it, and a zero point that leaves nothing out.
LPN_TEST(int8_pointwise_at_odd_shapes) {
  for (const int64_t m : {1, 2, 5, 6, 7, 13}) {
    for (const int64_t k : {1, 2, 3, 4, 6, 17}) {
      for (const int64_t n : {1, 5, 8, 15, 16, 17, 31, 33, 63, 64, 65, 129}) {
        check({m, k, n, m % 3, n % 2, k % 2 == 0, n % 3 == 0, n % 2 == 0 ? 31.0f : 0.0f,
               k == 17 ? 201.0f : 255.0f});
      }
    }
  }
}

LPN_TEST(int8_pointwise_with_a_lone_column) {
  for (const int64_t n : {1, 17, 65, 81}) {
    for (const int64_t k : {31, 32, 33, 48, 63, 64, 65, 95, 130}) {
      for (const int64_t m : {1, 4, 5, 12, 13}) check({m, k, n, m % 2, k % 3, m == 5, m != 4});
    }
  }
}

// Rows that are widened in several blocks.
LPN_TEST(int8_pointwise_of_many_rows) {
  for (const int64_t m : {47, 48, 49, 97, 150}) check({m, 66, 81, 1, 0, false, m % 2 == 0});
}

// Two products of the greatest factors and their sum do not fit 16 bits.
LPN_TEST(int8_pointwise_does_not_saturate) {
  constexpr int64_t kK = 512, kN = 65;
  for (const int sign : {-1, 1}) {
    const Bytes a(at(kK), 255);
    const SignedBytes w(at(kK * kN), static_cast<std::int8_t>(127 * sign));
    const Floats multiplier(at(kN), 1.0f);
    const Floats bias(at(kN), 0.0f);
    for (const Isa isa : supported_isas()) {
      Bytes packed(at(pointwise_packed_size<std::uint8_t>(isa, kK, kN)));
      pack_pointwise_s8(isa, w.data(), kK, kN, packed.data());
      Bytes scratch(at(pointwise_scratch_size(isa, 1, kK)));
      Floats out(at(kN));
      PointwiseArgs<std::uint8_t, float> args{};
      args.a = a.data();
      args.packed_b = packed.data();
      args.multiplier = multiplier.data();
      args.bias = bias.data();
      args.out = out.data();
      args.m = 1;
      args.lda = args.k = kK;
      args.ld_out = args.n = kN;
      args.least = -kInfinity;
      args.most = kInfinity;
      args.scratch = scratch.data();
      select_pointwise<std::uint8_t, float>(isa).run(args);
      for (const float x : out) {
        EXPECT(x == static_cast<float>(sign * 255 * 127 * kK), x, " on ", isa_name(isa));
      }
    }
  }
}

// In whole vectors and in a vector's part: the least byte for what is no number, the ends for what
// no integer holds, and the even one of two that are as near.
LPN_TEST(int8_pointwise_clamps_and_rounds_any_number) {
  const Floats values = {std::numeric_limits<float>::quiet_NaN(),
                         kInfinity,
                         -kInfinity,
                         1e30f,
                         -1e30f,
                         2147483648.0f,
                         -2147483904.0f,
                         3e9f,
                         0.5f,
                         1.5f,
                         2.5f,
                         -0.5f,
                         -0.0f,
                         199.5f,
                         200.5f,
                         201.4f,
                         254.5f,
                         255.5f,
                         1e-40f};
  for (const int64_t n : {int64_t{64}, int64_t{21}}) {
    for (const int64_t m : {1, 2, 6}) {
      for (std::size_t first = 0; first < values.size(); ++first) {
        const Bytes a(at(m), 0);
        const SignedBytes w(at(n), 1);
        const Floats multiplier(at(n), 1.0f);
        Floats bias;
        for (int64_t i = 0; i < n; ++i) bias.push_back(values[(first + at(i)) % values.size()]);
        for (const Isa isa : supported_isas()) {
          Bytes packed(at(pointwise_packed_size<std::uint8_t>(isa, 1, n)));
          pack_pointwise_s8(isa, w.data(), 1, n, packed.data());
          Bytes scratch(at(pointwise_scratch_size(isa, m, 1)));
          for (const float least : {0.0f, 3.0f}) {
            for (const float most : {255.0f, 200.0f}) {
              Bytes out(at(m * n), 77);
              PointwiseArgs<std::uint8_t, std::uint8_t> args{};
              args.a = a.data();
              args.packed_b = packed.data();
              args.multiplier = multiplier.data();
              args.bias = bias.data();
              args.out = out.data();
              args.m = m;
              args.lda = args.k = 1;
              args.ld_out = args.n = n;
              args.least = least;
              args.most = most;
              args.scratch = scratch.data();
              select_pointwise<std::uint8_t, std::uint8_t>(isa).run(args);
              for (int64_t i = 0; i < m * n; ++i) {
                const float v = bias[at(i % n)];
                const int expected = test::converted<std::uint8_t>(v, least, most);
                EXPECT(out[at(i)] == expected, static_cast<int>(out[at(i)]), " of ", v, " in ",
                       least, "..", most, " on ", isa_name(isa), ", column ", i % n, " of ", n);
              }
            }
          }
        }
      }
    }
  }
}

// Floats that are no numbers stay so, and an activation's bounds hold.
LPN_TEST(int8_pointwise_writes_floats_as_they_are) {
  const Shape open = {7, 9, 33, 0, 0, false, true, -kInfinity, kInfinity};
  check_of<float>(open);
  const Shape relu6 = {7, 9, 33, 0, 0, false, false, 0.0f, 6.0f};
  check_of<float>(relu6);
  Problem<float> problem(open);
  problem.bias[0] = std::numeric_limits<float>::quiet_NaN();
  problem.bias[32] = std::numeric_limits<float>::quiet_NaN();
  for (const Isa isa : supported_isas()) {
    const Floats out = problem.run(isa, 7);
    for (const int64_t i : {0, 32}) EXPECT(std::isnan(out[at(i)]), i, " on ", isa_name(isa));
  }
}

// Only asked for, never read: neither what is fetched nor how many rows share it changes a bit.
LPN_TEST(int8_pointwise_fetches_what_the_caller_names) {
  const Problem<std::uint8_t> problem(Shape{54, 9, 81});
  const Bytes next = test::random_bytes(4000, 7);
  for (const Isa isa : supported_isas()) {
    Bytes packed(at(pointwise_packed_size<std::uint8_t>(isa, 9, 81)));
    pack_pointwise_s8(isa, problem.w.data(), 9, 81, packed.data());
    Bytes scratch(at(pointwise_scratch_size(isa, 54, 9)));
    for (const int64_t bytes : {0, 1, 63, 64, 65, 4000}) {
      Bytes out(problem.residual.size(), 0);
      PointwiseArgs<std::uint8_t, std::uint8_t> args{};
      args.a = problem.a.data();
      args.packed_b = packed.data();
      args.multiplier = problem.multiplier.data();
      args.bias = problem.bias.data();
      args.out = out.data();
      args.m = 54;
      args.lda = args.k = 9;
      args.ld_out = args.n = 81;
      args.most = 255.0f;
      args.scratch = scratch.data();
      args.next_weights = next.data();
      args.next_bytes = bytes;
      select_pointwise<std::uint8_t, std::uint8_t>(isa).run(args);
      EXPECT(same(out, problem.run(isa, 54)), bytes, " on ", isa_name(isa));
    }
  }
}

}  // namespace
}  // namespace lpn
