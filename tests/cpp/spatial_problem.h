// What the tests of kernels that work by output rows share: one problem, run on every supported
// tier, against double precision within the rounding error of its number of terms and that of its
// elements, bit-equal however the rows are cut, bit-equal on all tiers whose fma rounds once.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <type_traits>
#include <vector>

#include "base/bfloat16.h"
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

// What an element of type T is of them.
template <class T>
std::vector<T> narrowed(const Floats& values) {
  std::vector<T> elements;
  for (const float value : values) elements.push_back(narrow<T>(value));
  return elements;
}
template <class T>
Floats as_elements(Floats values) {
  for (float& value : values) value = widen(narrow<T>(value));
  return values;
}

// How far the nearest element of type T is from a value at most: 2^-8 of it (a bfloat16 has eight
// significant bits), or a subnormal number.
template <class T>
double rounding(double value) {
  return std::is_same_v<T, float> ? 0.0 : std::ldexp(std::fabs(value), -8) + std::ldexp(1.0, -126);
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
template <class In, class Out = In>
using Rows =
    std::function<void(const In* in, int64_t in_row_begin, Out* out, int64_t begin, int64_t end)>;

template <class In, class Out = In>
struct Problem {
  std::string name;
  Map in, out;
  Floats x;  // of elements In
  std::vector<Sum> expected;
  Activation activation = Activation::kNone;
  std::function<Rows<In, Out>(Isa)> make;  // packs the weights for a tier
  std::function<void(int64_t begin, int64_t end, int64_t& first, int64_t& last)> input_rows;
};

// The whole map in calls of `rows_per_call` output rows. Each call sees a copy of exactly the input
// rows it may read and writes to a buffer of exactly its output rows, so that AddressSanitizer sees
// every access outside them.
template <class In, class Out>
std::vector<Out> run(const Problem<In, Out>& problem, const Rows<In, Out>& rows,
                     int64_t rows_per_call) {
  const std::vector<In> x = narrowed<In>(problem.x);
  std::vector<Out> result;
  for (int64_t begin = 0; begin < problem.out.h; begin += rows_per_call) {
    const int64_t end = std::min(problem.out.h, begin + rows_per_call);
    int64_t first = 0;
    int64_t last = 0;
    problem.input_rows(begin, end, first, last);
    const int64_t in_row = problem.in.w * problem.in.c;
    std::vector<In> in(x.begin() + first * in_row, x.begin() + last * in_row);
    in.reserve(1);  // a call whose rows are all padding gets a pointer, too
    std::vector<Out> out(static_cast<std::size_t>((end - begin) * problem.out.w * problem.out.c),
                         narrow<Out>(std::numeric_limits<float>::quiet_NaN()));
    rows(in.data(), first, out.data(), begin, end);
    result.insert(result.end(), out.begin(), out.end());
  }
  return result;
}

template <class T>
bool same_bits(const std::vector<T>& a, const std::vector<T>& b) {
  return a.size() == b.size() && std::memcmp(a.data(), b.data(), a.size() * sizeof(T)) == 0;
}

template <class In, class Out>
void check(const Problem<In, Out>& problem) {
  std::vector<Out> avx2;
  for (const Isa isa : supported_isas()) {
    const std::string where = problem.name + " on " + isa_name(isa);
    const Rows<In, Out> rows = problem.make(isa);
    const std::vector<Out> whole = run(problem, rows, problem.out.h);
    EXPECT(whole.size() == problem.expected.size(), where);
    int64_t wrong = 0;
    double worst = 0.0;
    for (std::size_t i = 0; i < whole.size(); ++i) {
      const Sum& sum = problem.expected[i];
      const double expected = activated(sum.value, problem.activation);
      const double error = std::fabs(widen(whole[i]) - expected);
      const double bound = sum.bound() + rounding<Out>(std::fabs(expected) + sum.bound());
      if (!(error <= bound)) {
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
    if (contains(isa, Isa::kAvx2)) EXPECT(same_bits(avx2, whole), where, " and on avx2 differ");
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

template <class T>
std::string element_name() {
  return std::is_same_v<T, float> ? "float " : "bfloat16 ";
}

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

template <class In, class Out>
void add_per_channel(Problem<In, Out>& problem, const Floats& values) {
  for (std::size_t i = 0; i < problem.expected.size(); ++i) {
    problem.expected[i].add(values[i % values.size()]);
  }
}

template <class In, class Out = In>
Problem<In, Out> sliding(const char* op, const Map& in, int64_t out_c, const Kernel& kernel,
                         Activation activation) {
  Problem<In, Out> problem;
  problem.name = element_name<In>() + describe(op, in, kernel, out_c);
  problem.in = in;
  problem.out = {window_count(in.h, kernel.h, kernel.stride, kernel.padding),
                 window_count(in.w, kernel.w, kernel.stride, kernel.padding), out_c};
  problem.x = as_elements<In>(random_floats(in.size(), 1));
  problem.expected.resize(static_cast<std::size_t>(problem.out.size()));
  problem.activation = activation;
  problem.input_rows = window_rows(in.h, kernel.h, kernel.stride, kernel.padding);
  return problem;
}

}  // namespace lpn::test
