// What the tests of kernels over maps of bytes share: a model of them in whole numbers and one
// rounding after the other, which every supported tier must equal to the bit, however the rows are
// cut.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <functional>
#include <random>
#include <string>
#include <vector>

#include "base/cpu_features.h"
#include "spatial_problem.h"
#include "test.h"

namespace lpn::test {

using Bytes = std::vector<std::uint8_t>;
using Factors = std::vector<std::int8_t>;

// Every eighth is the least or the most.
template <class T>
std::vector<T> random_integers(int64_t size, int least, int most, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_int_distribution<int> uniform(least, most);
  std::vector<T> values;
  for (int64_t i = 0; i < size; ++i) {
    const unsigned extreme = generator() % 16;
    values.push_back(static_cast<T>(extreme == 0   ? least
                                    : extreme == 1 ? most
                                                   : uniform(generator)));
  }
  return values;
}
inline Bytes random_bytes(int64_t size, unsigned seed) {
  return random_integers<std::uint8_t>(size, 0, 255, seed);
}
inline Factors random_factors(int64_t size, unsigned seed) {
  return random_integers<std::int8_t>(size, -127, 127, seed);
}

// What becomes of a channel's sums.
struct Scales {
  Floats multiplier, bias;
  std::uint8_t least, most;
};

// For sums of `terms` random products: about a fifth of the results are beyond either end, and
// every third channel has results halfway between two integers.
inline Scales random_scales(int64_t channels, int64_t terms, unsigned seed) {
  std::mt19937 generator(seed);
  std::uniform_real_distribution<float> uniform(0.5f, 1.0f);
  const float deviation = 160.0f * 80.0f * std::sqrt(static_cast<float>(terms));
  Scales scales = {{}, {}, 3, 250};
  for (int64_t c = 0; c < channels; ++c) {
    const float multiplier = 300.0f * uniform(generator) / deviation;
    const float bias = 100.0f * uniform(generator);
    const bool halves = c % 3 == 2;
    scales.multiplier.push_back(halves ? std::exp2(std::floor(std::log2(multiplier))) : multiplier);
    scales.bias.push_back(halves ? std::round(bias) : bias);
  }
  return scales;
}

// The float nearest to a * b + c: the product and, but for its last bit, the sum are exact in long
// double, or the tests of fma say so.
inline float fma_once(float a, float b, float c) { return std::fma(a, b, c); }

// The integer nearest to v, of two the even one, within bounds.
inline std::uint8_t byte_of(float v, int least, int most) {
  const double floor = std::floor(static_cast<double>(v));
  const double past = static_cast<double>(v) - floor;
  const bool up = past > 0.5 || (past == 0.5 && std::fmod(floor, 2.0) != 0.0);
  const double nearest = floor + (up ? 1.0 : 0.0);
  return static_cast<std::uint8_t>(std::min<double>(most, std::max<double>(least, nearest)));
}
inline std::uint8_t byte_of(int64_t sum, const Scales& scales, int64_t channel) {
  const float v =
      fma_once(static_cast<float>(sum), scales.multiplier[at(channel)], scales.bias[at(channel)]);
  return byte_of(v, scales.least, scales.most);
}

using ByteRows = Rows<std::uint8_t>;

struct ByteProblem {
  std::string name;
  Map in, out;
  Bytes x;
  Bytes expected;
  std::function<ByteRows(Isa)> make;  // packs the weights for a tier
  std::function<void(int64_t begin, int64_t end, int64_t& first, int64_t& last)> input_rows;
};

// The whole map in calls of `rows_per_call` output rows, of which each sees exactly the input rows
// that it may read.
inline Bytes run(const ByteProblem& problem, const ByteRows& rows, int64_t rows_per_call) {
  Bytes result;
  for (int64_t begin = 0; begin < problem.out.h; begin += rows_per_call) {
    const int64_t end = std::min(problem.out.h, begin + rows_per_call);
    int64_t first = 0;
    int64_t last = 0;
    problem.input_rows(begin, end, first, last);
    const int64_t in_row = problem.in.w * problem.in.c;
    Bytes in;
    in.reserve(at(std::max<int64_t>(1, (last - first) * in_row)));
    in.insert(in.end(), problem.x.begin() + first * in_row, problem.x.begin() + last * in_row);
    Bytes out(at((end - begin) * problem.out.w * problem.out.c), 0xA5);
    rows(in.data(), first, out.data(), begin, end);
    result.insert(result.end(), out.begin(), out.end());
  }
  return result;
}

inline void check(const ByteProblem& problem) {
  for (const Isa isa : supported_isas()) {
    const ByteRows rows = problem.make(isa);
    for (const int64_t rows_per_call : {problem.out.h, int64_t{1}, int64_t{3}}) {
      const Bytes result = run(problem, rows, rows_per_call);
      int64_t wrong = 0;
      for (std::size_t i = 0; i < result.size(); ++i) wrong += result[i] != problem.expected[i];
      EXPECT(result.size() == problem.expected.size() && wrong == 0, problem.name, " on ",
             isa_name(isa), " in calls of ", rows_per_call, " rows: ", wrong, " wrong bytes");
    }
  }
}

}  // namespace lpn::test
