// pointwise of bfloat16 on every supported tier: to the bit what software computes number by
// number, however the rows are cut; nothing read past a row's last term or written past its
// columns.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/buffer.h"
#include "base/cpu_features.h"
#include "bfloat16_reference.h"
#include "kernels/pointwise/pointwise.h"
#include "test.h"

namespace lpn {
namespace {

using std::int64_t;
using test::Halves;
using Floats = std::vector<float>;

std::size_t at(int64_t i) { return static_cast<std::size_t>(i); }

struct Shape {
  int64_t m, k, n;
  int64_t lda_gap = 0;  // elements between the rows of a, and of the residual and the result
  int64_t out_gap = 0;
  bool bias = true;
  bool scale = false;
  bool residual = false;
  Activation activation = Activation::kNone;
};

constexpr float kUntouched = -12352.0f;  // which bfloat16 has, too

Floats random_floats(int64_t size, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  Floats values(at(size));
  for (float& value : values) value = uniform(generator);
  return values;
}

template <class Out>
struct Problem {
  explicit Problem(const Shape& given)
      : shape(given),
        lda(given.k + given.lda_gap),
        ld_out(given.n + given.out_gap),
        // The last row ends with its last value: one element more would be a stray read.
        a(test::random_halves((given.m - 1) * lda + given.k, 1)),
        w(random_floats(given.n * given.k, 2)),
        bias(random_floats(given.n, 3)),
        scale(random_floats(given.n, 4)) {
    for (const float x : random_floats((given.m - 1) * ld_out + given.n, 5))
      residual.push_back(test::rounded<Out>(x));
    // What lies between the rows must not be read, not even to be multiplied by zero.
    for (int64_t row = 0; row + 1 < shape.m; ++row) {
      for (int64_t t = shape.k; t < lda; ++t)
        a[at(row * lda + t)] = test::nearest(std::numeric_limits<float>::quiet_NaN());
    }
  }

  std::vector<Out> run(Isa isa, int64_t rows_per_call) const {
    Buffer<Bfloat16> packed(at(pointwise_packed_size<Bfloat16>(isa, shape.k, shape.n)));
    pack_pointwise(isa, w.data(), shape.k, shape.n, packed.data());
    std::vector<Out> out(residual.size(), test::rounded<Out>(kUntouched));
    for (int64_t row = 0; row < shape.m; row += rows_per_call) {
      PointwiseArgs<Bfloat16, Out> args{};
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
      select_pointwise<Bfloat16, Out>(isa).run(args);
    }
    return out;
  }

  float sum(int64_t row, int64_t column) const {
    const bool lone = column == shape.n - 1 && has_lone_column(shape.n);
    const int64_t chains = lone ? kLoneChains : 1;
    std::vector<Floats> x(at(chains));
    std::vector<Floats> y(at(chains));
    for (int64_t t = 0; t < shape.k; ++t) {
      const std::size_t chain = at(t / 2 % chains);
      x[chain].push_back(test::value_of(a[at(row * lda + t)]));
      y[chain].push_back(test::value_of(test::nearest(w[at(column * shape.k + t)])));
    }
    Floats sums;
    for (std::size_t chain = 0; chain < x.size(); ++chain)
      sums.push_back(test::sum_of_pairs(x[chain], y[chain], 0.0f));
    for (std::size_t half = sums.size() / 2; half > 0; half /= 2) {
      for (std::size_t i = 0; i < half; ++i) sums[i] = test::add_flushed(sums[i], sums[i + half]);
    }
    return sums[0];
  }

  Out expected(int64_t row, int64_t column) const {
    float v = sum(row, column);
    if (shape.bias) v = test::add_flushed(v, bias[at(column)]);
    if (shape.scale) v = test::mul_flushed(v, scale[at(column)]);
    if (shape.residual)
      v = test::add_flushed(v, test::value_of(residual[at(row * ld_out + column)]));
    return test::rounded<Out>(test::activated_flushed(v, shape.activation));
  }

  Shape shape;
  int64_t lda, ld_out;
  Halves a;
  Floats w, bias, scale;
  std::vector<Out> residual;
};

template <class T>
bool all_same(const std::vector<T>& x, const std::vector<T>& y) {
  return std::equal(x.begin(), x.end(), y.begin(), y.end(), test::same<T>);
}

template <class Out>
void check_of(const Shape& shape) {
  const Problem<Out> problem(shape);
  std::vector<Out> expected(problem.residual.size(), test::rounded<Out>(kUntouched));
  for (int64_t row = 0; row < shape.m; ++row) {
    for (int64_t column = 0; column < shape.n; ++column)
      expected[at(row * problem.ld_out + column)] = problem.expected(row, column);
  }
  for (const Isa isa : supported_isas()) {
    const std::string where =
        test::concatenate(shape.m, "x", shape.k, "x", shape.n, " to ", sizeof(Out), " bytes on ",
                          select_pointwise<Bfloat16, Out>(isa).name);
    for (const int64_t rows : {shape.m, int64_t{1}, int64_t{5}, kPointwiseRowTile, int64_t{7}}) {
      const std::vector<Out> out = problem.run(isa, rows);
      std::size_t first = 0;
      while (first < out.size() && test::same(out[first], expected[first])) ++first;
      EXPECT(first == out.size(), where, " in calls of ", rows, " rows: element ", first, " is ",
             test::value_of(out[first]), " instead of ", test::value_of(expected[first]));
    }
  }
}

void check(const Shape& shape) {
  check_of<Bfloat16>(shape);
  check_of<float>(shape);
}

LPN_TEST(bfloat16_pointwise_at_lpn_shapes) {
  for (const int64_t width : {64, 128, 256})
    check({48, width, width, 0, 0, true, false, true, Activation::kRelu});
  check({24, 512, 512, 0, 0, true, true, true, Activation::kRelu});
  check({48, 256, 17});
  check({12, 64, 128, 64});  // a strided shortcut: every other pixel of a row
}

LPN_TEST(bfloat16_pointwise_at_odd_shapes) {
  for (const int64_t m : {1, 2, 5, 6, 7, 13}) {
    for (const int64_t k : {1, 2, 3, 4, 6, 17}) {
      for (const int64_t n : {1, 5, 8, 15, 16, 17, 31, 33, 63, 64, 65, 129}) {
        check({m, k, n, m % 3, n % 2, m % 2 == 0, k == 3, n % 3 == 0,
               k == 17 ? Activation::kRelu6 : Activation::kNone});
      }
    }
  }
}

LPN_TEST(bfloat16_pointwise_with_a_lone_column) {
  for (const int64_t n : {1, 17, 65, 81}) {
    for (const int64_t k : {31, 32, 33, 48, 63, 64, 65, 95}) {
      for (const int64_t m : {1, 4, 5, 12, 13})
        check({m, k, n, m % 2, k % 3, k % 2 == 0, m == 5, m != 4, Activation::kRelu});
    }
  }
}

// Numbers among which sums cancel, overflow and become subnormal.
Halves adversarial_halves(int64_t size, unsigned seed) {
  std::mt19937 generator(seed);
  const auto pick = [&](unsigned count) { return static_cast<std::uint32_t>(generator() % count); };
  constexpr std::uint32_t kSpecial[] = {0x0000, 0x8000, 0x0001, 0x807F, 0x0080, 0x8080, 0x7F7F,
                                        0xFF7F, 0x7F80, 0xFF80, 0x7FC0, 0x3F80, 0xBF80, 0x1F80};
  Halves values(at(size));
  for (Bfloat16& value : values) {
    const std::uint32_t any = pick(1u << 16);
    const std::uint32_t sign_and_fraction = any & 0x807F;
    std::uint32_t bits = any;
    switch (pick(8)) {
      case 0:
        bits = kSpecial[pick(sizeof kSpecial / sizeof *kSpecial)];
        break;
      case 1:  // near the least normal number, as products of the next ones are
        bits = sign_and_fraction | (1 + pick(24)) << 7;
        break;
      case 2:
        bits = sign_and_fraction | (58 + pick(10)) << 7;
        break;
      case 3:  // products near the greatest number
        bits = sign_and_fraction | (186 + pick(8)) << 7;
        break;
      case 4:  // few different values: sums cancel
        bits = (any & 0x8060) | (126 + pick(2)) << 7;
        break;
      case 5:
        bits = any;
        break;
      default:
        bits = sign_and_fraction | (115 + pick(20)) << 7;
    }
    value = static_cast<Bfloat16>(bits);
  }
  return values;
}

// Pair by pair: where products or sums under- or overflow, or are no numbers, the instruction for
// pairs and two fma in the mode that flushes subnormal numbers agree as well. A tier whose fma
// rounds twice may differ there.
LPN_TEST(bfloat16_pointwise_of_adversarial_numbers) {
  constexpr int64_t kM = 30, kN = 128;
  for (unsigned seed = 0; seed < 40; ++seed) {
    const int64_t k = 2 + 2 * (seed % 3) + seed % 2;
    const Halves a = adversarial_halves(kM * k, 2 * seed);
    const Halves w = adversarial_halves(kN * k, 2 * seed + 1);
    Floats wide;
    for (const Bfloat16 x : w) wide.push_back(test::value_of(x));
    std::vector<Floats> columns(at(kN));
    Halves as_packed;  // packing rounds, and so flushes
    for (const float x : wide) as_packed.push_back(test::nearest(x));
    Floats expected;
    for (int64_t row = 0; row < kM; ++row) {
      for (int64_t column = 0; column < kN; ++column) {
        Floats x, y;
        for (int64_t t = 0; t < k; ++t) {
          x.push_back(test::value_of(a[at(row * k + t)]));
          y.push_back(test::value_of(as_packed[at(column * k + t)]));
        }
        const float sum = test::sum_of_pairs(x, y, 0.0f);
        expected.push_back(test::add_flushed(sum, -0.0f));
      }
    }
    for (const Isa isa : supported_isas()) {
      if (isa == Isa::kScalar) continue;
      Buffer<Bfloat16> packed(at(pointwise_packed_size<Bfloat16>(isa, k, kN)));
      pack_pointwise(isa, wide.data(), k, kN, packed.data());
      Floats out(at(kM * kN));
      PointwiseArgs<Bfloat16, float> args{};
      args.a = a.data();
      args.packed_b = packed.data();
      args.out = out.data();
      args.m = kM;
      args.lda = args.k = k;
      args.ld_out = args.n = kN;
      select_pointwise<Bfloat16, float>(isa).run(args);
      std::size_t first = 0;
      while (first < out.size() && test::same(out[first], expected[first])) ++first;
      EXPECT(first == out.size(), "k ", k, ", seed ", seed, " on ", isa_name(isa), ": element ",
             first, " is ", out[first], " instead of ", expected[first]);
    }
  }
}

// Chains that underflow to -0, some of which have terms left when others have none.
LPN_TEST(bfloat16_pointwise_has_one_sign_of_zero_in_a_lone_column) {
  for (const int64_t k : {24, 48, 80, 81}) {
    const Floats w(at(k), -1e-30f);
    const Halves a(at(k), test::nearest(1e-30f));
    Floats first;
    for (const Isa isa : supported_isas()) {
      if (isa == Isa::kScalar) continue;
      Buffer<Bfloat16> packed(at(pointwise_packed_size<Bfloat16>(isa, k, 1)));
      pack_pointwise(isa, w.data(), k, 1, packed.data());
      Floats out(1);
      PointwiseArgs<Bfloat16, float> args{};
      args.a = a.data();
      args.packed_b = packed.data();
      args.out = out.data();
      args.m = args.n = args.ld_out = 1;
      args.lda = args.k = k;
      select_pointwise<Bfloat16, float>(isa).run(args);
      if (first.empty()) first = out;
      EXPECT(std::signbit(out[0]) == std::signbit(first[0]), "k ", k, " on ", isa_name(isa));
    }
  }
}

// The caller's mode is what it was: half of the least normal number is a number again.
LPN_TEST(bfloat16_pointwise_restores_the_mode) {
  const Problem<float> problem(Shape{3, 5, 33});
  for (const Isa isa : supported_isas()) {
    const Floats out = problem.run(isa, 3);
    volatile float least = std::numeric_limits<float>::min();
    volatile float half = least / 2;
    EXPECT(half > 0.0f, isa_name(isa), " ", out[0]);
  }
}

// Only asked for, never read: neither what is fetched nor how many rows share it changes a bit.
LPN_TEST(bfloat16_pointwise_fetches_what_the_caller_names) {
  const Problem<Bfloat16> problem(Shape{14, 9, 33});
  const Floats next = random_floats(1000, 7);
  for (const Isa isa : supported_isas()) {
    Buffer<Bfloat16> packed(at(pointwise_packed_size<Bfloat16>(isa, 9, 33)));
    pack_pointwise(isa, problem.w.data(), 9, 33, packed.data());
    for (const int64_t bytes : {0, 1, 63, 64, 65, 4000}) {
      Halves out(problem.residual.size(), test::nearest(kUntouched));
      PointwiseArgs<Bfloat16, Bfloat16> args{};
      args.a = problem.a.data();
      args.packed_b = packed.data();
      args.bias = problem.bias.data();
      args.out = out.data();
      args.m = 14;
      args.lda = args.k = 9;
      args.ld_out = args.n = 33;
      args.next_weights = next.data();
      args.next_bytes = bytes;
      select_pointwise<Bfloat16, Bfloat16>(isa).run(args);
      EXPECT(all_same(out, problem.run(isa, 14)), bytes, " on ", isa_name(isa));
    }
  }
}

}  // namespace
}  // namespace lpn
