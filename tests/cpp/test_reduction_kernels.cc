// The attention kernels and the exponential on every tier, against double.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <vector>

#include "base/cpu_features.h"
#include "kernels/gc_pool/gc_pool.h"
#include "kernels/se_gate/se_gate.h"
#include "random_elements.h"
#include "test.h"

namespace lpn {
namespace {

using namespace test;

constexpr double kEpsilon = 1.0 / (1 << 24);  // half an ulp of 1
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();

double largest_magnitude(const Floats& values) {
  double result = 0;
  for (float v : values) result = std::max(result, std::abs(static_cast<double>(v)));
  return result;
}

// w of (columns, rows) as the kernels take it: (rows, columns).
Floats transposed(const Floats& w, std::int64_t columns, std::int64_t rows) {
  Floats result(w.size());
  for (std::int64_t i = 0; i < rows; ++i) {
    for (std::int64_t j = 0; j < columns; ++j) {
      result[static_cast<std::size_t>(i * columns + j)] = w[static_cast<std::size_t>(j * rows + i)];
    }
  }
  return result;
}

// sum_i w[j, i] x[i] + b[j], and the sum of its terms' magnitudes.
struct Product {
  double value, magnitude;
};

Product row_product(const Floats& w, const std::vector<double>& x, std::int64_t j, double b) {
  Product result = {b, std::abs(b)};
  for (std::size_t i = 0; i < x.size(); ++i) {
    const double term = static_cast<double>(w[static_cast<std::size_t>(j) * x.size() + i]) * x[i];
    result.value += term;
    result.magnitude += std::abs(term);
  }
  return result;
}

std::vector<double> in_double(const Floats& values) { return {values.begin(), values.end()}; }

// The context of x by gc_pool in chunks of `chunk` positions and the merge.
template <class T>
Floats pooled(Isa isa, const std::vector<T>& x, const Floats& w, std::int64_t chunk) {
  const auto c = static_cast<std::int64_t>(w.size());
  const std::int64_t positions = static_cast<std::int64_t>(x.size()) / c;
  const std::int64_t chunks = (positions + chunk - 1) / chunk;
  Floats partials(static_cast<std::size_t>(chunks * (2 + c)));
  for (std::int64_t i = 0; i < chunks; ++i) {
    const std::int64_t begin = i * chunk;
    const std::int64_t count = std::min(chunk, positions - begin);
    Floats logits(static_cast<std::size_t>(count));
    select_gc_pool<T>(isa).run(
        {x.data() + begin * c, count, c, w.data(), logits.data(), partials.data() + i * (2 + c)});
  }
  Floats context(static_cast<std::size_t>(c));
  merge_gc_partials(partials.data(), chunks, c, context.data());
  return context;
}

template <class T>
void check_gc_pool() {
  std::mt19937 generator(1);
  for (const Isa isa : supported_isas()) {
    for (const std::int64_t c : {1, 3, 16, 17, 33, 64, 130, 200}) {
      for (const std::int64_t positions : {1, 2, 5, 19, 64, 130}) {
        const std::vector<T> elements = elements_of<T>(random_floats(generator, positions * c));
        Floats x;
        for (const T element : elements) x.push_back(widen(element));
        const Floats w =
            random_floats(generator, c, 4.0f / std::sqrt(static_cast<float>(c)) / kUnits<T>);
        std::vector<double> logits;
        double logit_magnitude = 0;
        for (std::int64_t p = 0; p < positions; ++p) {
          const Floats row(x.begin() + p * c, x.begin() + (p + 1) * c);
          const Product logit = row_product(w, in_double(row), 0, 0.0);
          logits.push_back(logit.value);
          logit_magnitude = std::max(logit_magnitude, logit.magnitude);
        }
        const double top = *std::max_element(logits.begin(), logits.end());
        double sum = 0;
        std::vector<double> context(static_cast<std::size_t>(c), 0.0);
        for (std::int64_t p = 0; p < positions; ++p) {
          const double e = std::exp(logits[static_cast<std::size_t>(p)] - top);
          sum += e;
          for (std::int64_t j = 0; j < c; ++j) {
            context[static_cast<std::size_t>(j)] +=
                e * static_cast<double>(x[static_cast<std::size_t>(p * c + j)]);
          }
        }
        // A weight is off by its logit's and the maximum's error, the difference's rounding and
        // the exponential's 2 ulp; numerator and denominator each add a rounding per term.
        const double logit_error = static_cast<double>(c + 1) * kEpsilon * logit_magnitude;
        const double weight_error = 2 * logit_error + (2 * logit_magnitude + 4) * kEpsilon;
        const double tolerance =
            2 * largest_magnitude(x) *
            (weight_error + static_cast<double>(std::min<std::int64_t>(positions, 70)) * kEpsilon);
        for (const std::int64_t chunk : {positions, std::int64_t{7}}) {
          const Floats actual = pooled<T>(isa, elements, w, chunk);
          for (std::size_t j = 0; j < actual.size(); ++j) {
            const double error = std::abs(static_cast<double>(actual[j]) - context[j] / sum);
            EXPECT(error <= tolerance, isa_name(isa), " c ", c, " positions ", positions,
                   " channel ", j, ": error ", error, " > ", tolerance);
          }
        }
      }
    }
  }
}

LPN_TEST(gc_pool_matches_double) {
  check_gc_pool<float>();
  check_gc_pool<Bfloat16>();
  check_gc_pool<std::uint8_t>();
}

LPN_TEST(gc_pool_partial_is_maximum_and_sum) {
  for (const Isa isa : supported_isas()) {
    // Logits 0, 1, ..., 20 and -1000, whose weight is 0.
    Floats x(22);
    for (int i = 0; i < 21; ++i) x[static_cast<std::size_t>(i)] = static_cast<float>(i);
    x[21] = -1000.0f;
    const Floats w = {1.0f};
    Floats logits(22);
    Floats partial(3);
    select_gc_pool<float>(isa).run({x.data(), 22, 1, w.data(), logits.data(), partial.data()});
    double sum = 0;
    double weighted = 0;
    for (int i = 0; i < 21; ++i) {
      sum += std::exp(i - 20.0);
      weighted += std::exp(i - 20.0) * i;
    }
    EXPECT(partial[0] == 20.0f, isa_name(isa), " ", partial[0]);
    EXPECT(std::abs(static_cast<double>(partial[1]) - sum) <= 24 * kEpsilon * sum, isa_name(isa));
    EXPECT(std::abs(static_cast<double>(partial[2]) - weighted) <= 26 * kEpsilon * weighted,
           isa_name(isa));
  }
}

LPN_TEST(gc_pool_with_nan_gives_nan) {
  std::mt19937 generator(2);
  for (const Isa isa : supported_isas()) {
    for (const std::size_t position : {0U, 3U, 18U}) {
      Floats x = random_floats(generator, 19 * 5);
      x[position * 5 + 2] = kNan;
      for (const float v : pooled<float>(isa, x, random_floats(generator, 5), 4)) {
        EXPECT(std::isnan(v), isa_name(isa), " position ", position, " gave ", v);
      }
    }
  }
}

LPN_TEST(gc_transform_matches_double) {
  std::mt19937 generator(3);
  for (const Isa isa : supported_isas()) {
    for (const std::int64_t c_in : {1, 3, 17, 33, 128}) {
      for (const std::int64_t hidden : {1, 2, 16, 19, 32}) {
        for (const std::int64_t c_out : {1, 17, 33, 64}) {
          const Floats context = random_floats(generator, c_in);
          const Floats w1 = random_floats(generator, hidden * c_in);
          const Floats b1 = random_floats(generator, hidden);
          const Floats norm_w = random_floats(generator, hidden);
          const Floats norm_b = random_floats(generator, hidden);
          const Floats w2 = random_floats(generator, c_out * hidden);
          const Floats b2 = random_floats(generator, c_out);
          const Floats base = random_floats(generator, c_out);
          const float epsilon = 1e-5f;

          std::vector<double> values;
          double value_error = 0;
          double mean = 0;
          for (std::int64_t j = 0; j < hidden; ++j) {
            const Product product = row_product(
                w1, in_double(context), j, static_cast<double>(b1[static_cast<std::size_t>(j)]));
            values.push_back(product.value);
            mean += product.value / static_cast<double>(hidden);
            value_error =
                std::max(value_error, static_cast<double>(c_in + 4) * kEpsilon * product.magnitude);
          }
          double variance = 0;
          for (const double v : values) {
            variance += (v - mean) * (v - mean) / static_cast<double>(hidden);
          }
          const double inverse = 1 / std::sqrt(variance + static_cast<double>(epsilon));
          double hidden_error = 0;
          for (std::size_t j = 0; j < values.size(); ++j) {
            const double normal = (values[j] - mean) * inverse;
            // Off by its own and the mean's error and, relatively, by the deviation's.
            const double normal_error = 2 * value_error * inverse * (1 + std::abs(normal));
            const double scale = static_cast<double>(norm_w[j]);
            values[j] = std::max(0.0, normal * scale + static_cast<double>(norm_b[j]));
            hidden_error = std::max(
                hidden_error, normal_error * std::abs(scale) + kEpsilon * std::abs(values[j]));
          }

          const Floats w1_by_lane = transposed(w1, hidden, c_in);
          const Floats w2_by_lane = transposed(w2, c_out, hidden);
          for (const bool with_base : {false, true}) {
            Floats scratch(static_cast<std::size_t>(hidden));
            Floats out(static_cast<std::size_t>(c_out));
            select_gc_transform(isa).run(
                {context.data(), c_in, hidden, c_out, w1_by_lane.data(), b1.data(), norm_w.data(),
                 norm_b.data(), epsilon, w2_by_lane.data(), b2.data(),
                 with_base ? base.data() : nullptr, scratch.data(), out.data()});
            for (std::int64_t j = 0; j < c_out; ++j) {
              const auto at = static_cast<std::size_t>(j);
              const double constant =
                  static_cast<double>(b2[at]) + (with_base ? static_cast<double>(base[at]) : 0.0);
              const Product product = row_product(w2, values, j, constant);
              const double magnitude = product.magnitude + std::abs(static_cast<double>(base[at]));
              const double tolerance =
                  static_cast<double>(hidden) * largest_magnitude(w2) * hidden_error +
                  static_cast<double>(hidden + 6) * kEpsilon * magnitude;
              const double error = std::abs(static_cast<double>(out[at]) - product.value);
              EXPECT(error <= tolerance, isa_name(isa), " c_in ", c_in, " hidden ", hidden,
                     " c_out ", c_out, " output ", j, ": error ", error, " > ", tolerance);
            }
          }
        }
      }
    }
  }
}

template <class T>
void check_channel_sums() {
  std::mt19937 generator(4);
  for (const Isa isa : supported_isas()) {
    for (const std::int64_t c : {1, 3, 17, 33, 64, 130, 200}) {
      for (const std::int64_t positions : {1, 5, 64, 65, 200}) {
        const std::vector<T> x = elements_of<T>(random_floats(generator, positions * c));
        const std::int64_t first = positions / 2;  // 0 for one position: an empty chunk is allowed
        Floats partials(static_cast<std::size_t>(2 * c));
        const auto sum = select_channel_sum<T>(isa).run;
        sum({x.data(), first, c, partials.data()});
        sum({x.data() + first * c, positions - first, c, partials.data() + c});
        Floats mean(static_cast<std::size_t>(c));
        merge_channel_sums(partials.data(), 2, c, positions, mean.data());
        for (std::int64_t j = 0; j < c; ++j) {
          double expected = 0;
          double magnitude = 0;
          for (std::int64_t p = 0; p < positions; ++p) {
            const double v = static_cast<double>(widen(x[static_cast<std::size_t>(p * c + j)]));
            expected += v;
            magnitude += std::abs(v);
          }
          const double count = static_cast<double>(positions);
          const double error =
              std::abs(static_cast<double>(mean[static_cast<std::size_t>(j)]) - expected / count);
          const double terms = static_cast<double>(std::min<std::int64_t>(positions, 66));
          EXPECT(error <= terms * kEpsilon * magnitude / count, isa_name(isa), " c ", c,
                 " positions ", positions, ": error ", error);
        }
      }
    }
  }
}

LPN_TEST(channel_sums_match_double) {
  check_channel_sums<float>();
  check_channel_sums<Bfloat16>();
  check_channel_sums<std::uint8_t>();
}

LPN_TEST(se_gate_matches_double) {
  std::mt19937 generator(5);
  for (const Isa isa : supported_isas()) {
    for (const std::int64_t c : {1, 3, 17, 33, 128}) {
      for (const std::int64_t hidden : {1, 16, 19}) {
        const Floats mean = random_floats(generator, c);
        const Floats w1 = random_floats(generator, hidden * c);
        const Floats b1 = random_floats(generator, hidden);
        const Floats w2 = random_floats(generator, c * hidden);
        for (const bool with_bias : {false, true}) {
          std::vector<double> values;
          double hidden_error = 0;
          for (std::int64_t j = 0; j < hidden; ++j) {
            const double bias =
                with_bias ? static_cast<double>(b1[static_cast<std::size_t>(j)]) : 0.0;
            const Product product = row_product(w1, in_double(mean), j, bias);
            values.push_back(std::max(0.0, product.value));
            hidden_error =
                std::max(hidden_error, static_cast<double>(c + 4) * kEpsilon * product.magnitude);
          }
          const Floats w1_by_lane = transposed(w1, hidden, c);
          const Floats w2_by_lane = transposed(w2, c, hidden);
          Floats scratch(static_cast<std::size_t>(hidden));
          Floats out(static_cast<std::size_t>(c));
          select_se_gate(isa).run({mean.data(), c, hidden, c, w1_by_lane.data(),
                                   with_bias ? b1.data() : nullptr, w2_by_lane.data(),
                                   scratch.data(), out.data()});
          for (std::int64_t j = 0; j < c; ++j) {
            const Product product = row_product(w2, values, j, 0.0);
            const double expected = 1 / (1 + std::exp(-product.value));
            const double argument_error =
                static_cast<double>(hidden) * largest_magnitude(w2) * hidden_error +
                static_cast<double>(hidden + 4) * kEpsilon * product.magnitude;
            const double error =
                std::abs(static_cast<double>(out[static_cast<std::size_t>(j)]) - expected);
            // The sigmoid's slope is at most 1/4; exponential, sum and quotient round 4 times.
            EXPECT(error <= argument_error / 4 + 4 * kEpsilon, isa_name(isa), " c ", c, " hidden ",
                   hidden, ": error ", error);
          }
        }
      }
    }
  }
}

// One channel and one hidden unit of weight 1: the gate of mean v is sigmoid(max(v, 0) * w2), which
// reaches the exponential with any argument.
float gate_of(Isa isa, float mean, float w2) {
  const float one = 1.0f;
  float scratch = 0;
  float out = 0;
  select_se_gate(isa).run({&mean, 1, 1, 1, &one, nullptr, &w2, &scratch, &out});
  return out;
}

LPN_TEST(sigmoid_is_accurate_over_its_range) {
  for (const Isa isa : supported_isas()) {
    for (int step = 0; step <= 87300; ++step) {
      const float v = static_cast<float>(step) * 1e-3f;
      for (const float sign : {1.0f, -1.0f}) {
        const double expected = 1 / (1 + std::exp(static_cast<double>(-sign * v)));
        const double error = std::abs(static_cast<double>(gate_of(isa, v, sign)) - expected);
        // 2 ulp (4 epsilon) of the exponential, half of one each of the sum and the quotient.
        EXPECT(error <= 7 * kEpsilon * expected, isa_name(isa), " at ", sign * v);
      }
    }
    EXPECT(gate_of(isa, 1e30f, 1.0f) == 1.0f, isa_name(isa));
    EXPECT(gate_of(isa, 1e30f, -1.0f) == 0.0f, isa_name(isa));
    EXPECT(std::isnan(gate_of(isa, kNan, 1.0f)), isa_name(isa));
    EXPECT(std::isnan(gate_of(isa, 1.0f, kNan)), isa_name(isa));
  }
}

}  // namespace
}  // namespace lpn
