// Loads and stores of bfloat16 on every supported tier, through a depthwise 1x1 convolution: of a
// number by 1 it is a load, of 1 by a number the number's rounding.
#include "base/bfloat16.h"

#include <cmath>
#include <cstdint>
#include <cstring>
#include <limits>
#include <vector>

#include "base/cpu_features.h"
#include "kernels/depthwise/depthwise.h"
#include "test.h"

namespace lpn {
namespace {

using Halves = std::vector<Bfloat16>;  // exactly sized, so that AddressSanitizer sees any overrun
using Floats = std::vector<float>;

float from_bits(std::uint32_t bits) {
  float value = 0;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

std::uint32_t bits_of(float value) {
  std::uint32_t bits = 0;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}

// sign * (1 + fraction / 128) * 2^(exponent - 127), by the format's definition; of NaNs the bits.
float value_of(std::uint32_t half) {
  const int exponent = static_cast<int>(half >> 7 & 0xFF);
  const int fraction = static_cast<int>(half & 0x7F);
  const float sign = (half & 0x8000) == 0 ? 1.0f : -1.0f;
  if (exponent == 255)
    return fraction == 0 ? sign * std::numeric_limits<float>::infinity() : from_bits(half << 16);
  if (exponent == 0) return sign * std::ldexp(static_cast<float>(fraction), -126 - 7);
  return sign * std::ldexp(static_cast<float>(128 + fraction), exponent - 127 - 7);
}

// The nearer of the two bfloat16 numbers around a value, by their distances; beyond the largest
// one lies 2^128, which is infinity.
std::uint32_t rounded(float value) {
  const std::uint32_t sign = std::signbit(value) ? 0x8000 : 0;
  if (std::isnan(value)) return bits_of(value) >> 16 | 0x40;
  if (std::isinf(value)) return sign | 0x7F80;
  const double magnitude = std::fabs(static_cast<double>(value));
  if (magnitude < std::ldexp(1.0, -126)) return sign;
  const int exponent = std::ilogb(magnitude);
  const double steps = std::ldexp(magnitude, 7 - exponent);  // from 128 to 256, of half a byte
  double whole = std::floor(steps);
  const double rest = steps - whole;
  if (rest > 0.5 || (rest == 0.5 && std::fmod(whole, 2.0) == 1.0)) ++whole;
  const int carried = whole == 256.0 ? 1 : 0;
  const auto fraction =
      static_cast<std::uint32_t>(carried == 1 ? 0 : static_cast<int>(whole) - 128);
  return sign | static_cast<std::uint32_t>(exponent + 127 + carried) << 7 | fraction;
}

// out[i] = x[i] * w[i], as a map of one pixel; -0 as the bias changes nothing.
Halves products(Isa isa, const Halves& x, const Floats& w) {
  const auto c = static_cast<std::int64_t>(x.size());
  Floats packed(static_cast<std::size_t>(depthwise_packed_size(1, 1, c)));
  pack_depthwise<float>(w.data(), 1, 1, c, packed.data());
  const Floats bias(x.size(), -0.0f);
  Halves out(x.size(), Bfloat16{0x1234});
  DepthwiseArgs<Bfloat16> args = {};
  args.in = x.data();
  args.in_h = args.in_w = args.out_w = args.row_end = 1;
  args.c = c;
  args.w = packed.data();
  args.bias = bias.data();
  args.out = out.data();
  args.kh = args.kw = args.stride = 1;
  args.activation = Activation::kNone;
  select_depthwise<Bfloat16>(isa).run(args);
  return out;
}

// Rounds all of `values`, `chunk` at a time.
void check_rounding(const Floats& values, std::size_t chunk) {
  for (const Isa isa : supported_isas()) {
    std::size_t wrong = 0;
    float first = 0;
    for (std::size_t begin = 0; begin < values.size(); begin += chunk) {
      const std::size_t end = begin + chunk < values.size() ? begin + chunk : values.size();
      const Floats w(values.begin() + static_cast<std::ptrdiff_t>(begin),
                     values.begin() + static_cast<std::ptrdiff_t>(end));
      const Halves out = products(isa, Halves(w.size(), narrow<Bfloat16>(1.0f)), w);
      for (std::size_t i = 0; i < w.size(); ++i) {
        if (static_cast<std::uint32_t>(out[i]) == rounded(w[i])) continue;
        if (wrong++ == 0) first = w[i];
      }
    }
    EXPECT(wrong == 0, isa_name(isa), ": ", wrong, " values, the first ", first);
  }
  for (const float value : values) {
    EXPECT(static_cast<std::uint32_t>(narrow<Bfloat16>(value)) == rounded(value), value);
  }
}

}  // namespace

// Numbers that would be subnormal are scaled up, for their rounding would make them zero.
LPN_TEST(bfloat16_of_every_pattern_is_widened) {
  constexpr int kScale = 20;
  for (const bool tiny : {false, true}) {
    Halves halves;
    Floats expected;
    for (std::uint32_t half = 0; half <= 0xFFFF; ++half) {
      if (((half & 0x7F80) == 0) != tiny) continue;
      halves.push_back(static_cast<Bfloat16>(half));
      expected.push_back(tiny ? std::ldexp(value_of(half), kScale) : value_of(half));
      const float widened = widen(halves.back());
      EXPECT(bits_of(widened) == bits_of(value_of(half)), half);
    }
    const Floats w(halves.size(), tiny ? std::ldexp(1.0f, kScale) : 1.0f);
    for (const Isa isa : supported_isas()) {
      const Halves out = products(isa, halves, w);
      std::size_t wrong = 0;
      for (std::size_t i = 0; i < out.size(); ++i) {
        if (static_cast<std::uint32_t>(out[i]) != rounded(expected[i])) ++wrong;
      }
      EXPECT(wrong == 0, isa_name(isa), ": ", wrong, " of ", out.size());
    }
  }
}

// Every upper half with lower halves at and around a tie: carries into the exponent and to
// infinity, subnormal numbers, NaNs whose payload lies in either half.
LPN_TEST(bfloat16_is_the_nearest_and_the_even_one) {
  Floats values;
  for (std::uint32_t upper = 0; upper <= 0xFFFF; ++upper) {
    for (const std::uint32_t lower : {0x0000u, 0x0001u, 0x7FFFu, 0x8000u, 0x8001u, 0xFFFFu})
      values.push_back(from_bits(upper << 16 | lower));
  }
  check_rounding(values, values.size());
}

// Vectors that are not full: the buffers hold nothing beyond.
LPN_TEST(bfloat16_tails_round_alike) {
  Floats values;
  for (std::uint32_t i = 0; i < 200; ++i) values.push_back(from_bits(0x3F7F4000u + i * 0x4321u));
  for (std::size_t chunk = 1; chunk <= 40; ++chunk) check_rounding(values, chunk);
}

}  // namespace lpn
