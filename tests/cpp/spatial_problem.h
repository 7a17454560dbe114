// What the tests of kernels that work by output rows share: one problem, run on every supported
// tier, against double precision within the rounding error of its number of terms, bit-equal
// however the rows are cut, bit-equal between avx2 and avx512.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "kernels/activation.h"
#include "test.h"

namespace lpn::test {

using std::int64_t;
using Floats = std::vector<float>;

inline std::size_t at(int64_t i) { return static_cast<std::size_t>(i); }

inline Floats random_floats(int64_t size, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
  Floats values(static_cast<std::size_t>(size));
  for (float& value : values) value = uniform(generator);
  return values;
}

struct Map {
  int64_t h, w, c;
  int64_t size() const { return h * w * c; }
};

// A sum in double and the sum of its terms' magnitudes, which bounds its rounding error in float.
struct Sum {
  double value = 0.0;
  double magnitude = 0.0;
  int64_t terms = 0;

  void add(double term) {
    value += term;
    magnitude += std::fabs(term);
    ++terms;
  }
  // n roundings of additions and one each for the product, the epilogue's additions and this
  // reference's own use.
  double bound() const { return static_cast<double>(terms + 4) * std::ldexp(magnitude, -24); }
};

inline double activated(double value, Activation activation) {
  if (activation == Activation::kNone) return value;
  value = value > 0.0 ? value : 0.0;
  return activation == Activation::kRelu6 && value > 6.0 ? 6.0 : value;
}

// Runs output rows [begin, end): `in` is input row `in_row_begin`, `out` output row `begin`.
using Rows = std::function<void(const float* in, int64_t in_row_begin, float* out, int64_t begin,
                                int64_t end)>;

struct Problem {
  std::string name;
  Map in, out;
  Floats x;
  std::vector<Sum> expected;
  Activation activation = Activation::kNone;
  std::function<Rows(Isa)> make;  // packs the weights for a tier
  std::function<void(int64_t begin, int64_t end, int64_t& first, int64_t& last)> input_rows;
};

// The whole map in calls of `rows_per_call` output rows. Each call sees a copy of exactly the input
// rows it may read and writes to a buffer of exactly its output rows, so that AddressSanitizer sees
// every access outside them.
inline Floats run(const Problem& problem, const Rows& rows, int64_t rows_per_call) {
  Floats result;
  for (int64_t begin = 0; begin < problem.out.h; begin += rows_per_call) {
    const int64_t end = std::min(problem.out.h, begin + rows_per_call);
    int64_t first = 0;
    int64_t last = 0;
    problem.input_rows(begin, end, first, last);
    const int64_t in_row = problem.in.w * problem.in.c;
    Floats in(problem.x.begin() + first * in_row, problem.x.begin() + last * in_row);
    in.reserve(1);  // a call whose rows are all padding gets a pointer, too
    Floats out(static_cast<std::size_t>((end - begin) * problem.out.w * problem.out.c),
               std::numeric_limits<float>::quiet_NaN());
    rows(in.data(), first, out.data(), begin, end);
    result.insert(result.end(), out.begin(), out.end());
  }
  return result;
}

inline bool same_bits(const Floats& a, const Floats& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(float)) == 0;
}

inline void check(const Problem& problem) {
  Floats avx2;
  for (const Isa isa : supported_isas()) {
    const std::string where = problem.name + " on " + isa_name(isa);
    const Rows rows = problem.make(isa);
    const Floats whole = run(problem, rows, problem.out.h);
    EXPECT(whole.size() == problem.expected.size(), where);
    int64_t wrong = 0;
    double worst = 0.0;
    for (std::size_t i = 0; i < whole.size(); ++i) {
      const Sum& sum = problem.expected[i];
      const double error = std::fabs(whole[i] - activated(sum.value, problem.activation));
      if (!(error <= sum.bound())) {
        ++wrong;
        worst = std::max(worst, error);
      }
    }
    EXPECT(wrong == 0, where, ": ", wrong, " values beyond the bound, worst error ", worst);
    for (const int64_t rows_per_call : {1, 3}) {
      EXPECT(same_bits(run(problem, rows, rows_per_call), whole), where, " in calls of ",
             rows_per_call, " rows");
    }
    if (isa == Isa::kAvx2) avx2 = whole;
    if (isa == Isa::kAvx512)
      EXPECT(same_bits(avx2, whole), problem.name, ": avx2 and avx512 differ");
  }
}

// Rows of the input that a sliding window of height `kernel` reads for output rows [begin, end).
inline auto window_rows(int64_t in_h, int64_t kernel, int64_t stride, int64_t padding) {
  return [=](int64_t begin, int64_t end, int64_t& first, int64_t& last) {
    first = std::min(in_h, std::max<int64_t>(0, begin * stride - padding));
    last = std::max(first, std::min(in_h, (end - 1) * stride - padding + kernel));
  };
}

inline int64_t window_count(int64_t extent, int64_t kernel, int64_t stride, int64_t padding) {
  return (extent + 2 * padding - kernel) / stride + 1;
}

struct Kernel {
  int64_t h, w, stride, padding;
};

inline std::string describe(const char* op, const Map& in, const Kernel& kernel, int64_t out_c) {
  return concatenate(op, " ", in.h, "x", in.w, "x", in.c, " -> ", out_c, ", k ", kernel.h, "x",
                     kernel.w, " s", kernel.stride, " p", kernel.padding);
}

// Calls tap(output pixel, input pixel, tap) for every tap of a sliding window inside the map.
template <class Tap>
void for_each_tap(const Map& in, const Map& out, const Kernel& kernel, const Tap& tap) {
  for (int64_t y = 0; y < out.h; ++y) {
    for (int64_t x = 0; x < out.w; ++x) {
      for (int64_t i = 0; i < kernel.h; ++i) {
        for (int64_t j = 0; j < kernel.w; ++j) {
          const int64_t v = y * kernel.stride + i - kernel.padding;
          const int64_t u = x * kernel.stride + j - kernel.padding;
          if (v < 0 || v >= in.h || u < 0 || u >= in.w) continue;
          tap(y * out.w + x, v * in.w + u, i * kernel.w + j);
        }
      }
    }
  }
}

inline void add_per_channel(Problem& problem, const Floats& values) {
  for (std::size_t i = 0; i < problem.expected.size(); ++i) {
    problem.expected[i].add(values[i % values.size()]);
  }
}

inline Problem sliding(const char* op, const Map& in, int64_t out_c, const Kernel& kernel,
                       Activation activation) {
  Problem problem;
  problem.name = describe(op, in, kernel, out_c);
  problem.in = in;
  problem.out = {window_count(in.h, kernel.h, kernel.stride, kernel.padding),
                 window_count(in.w, kernel.w, kernel.stride, kernel.padding), out_c};
  problem.x = random_floats(in.size(), 1);
  problem.expected.resize(static_cast<std::size_t>(problem.out.size()));
  problem.activation = activation;
  problem.input_rows = window_rows(in.h, kernel.h, kernel.stride, kernel.padding);
  return problem;
}

}  // namespace lpn::test
