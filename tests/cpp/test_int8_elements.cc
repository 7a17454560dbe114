// add of bytes, and convert between the types of elements, on every supported tier.
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

#include "bfloat16_reference.h"
#include "byte_problem.h"
#include "kernels/add/add.h"
#include "kernels/convert/convert.h"
#include "test.h"

namespace lpn {
namespace {

using namespace test;

constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
constexpr float kInfinity = std::numeric_limits<float>::infinity();

void check_add(int64_t count, float a_scale, float b_scale, float constant, std::uint8_t least,
               std::uint8_t most) {
  const Bytes a = random_bytes(count, 1);
  const Bytes b = random_bytes(count, 2);
  Bytes expected;
  for (std::size_t i = 0; i < a.size(); ++i) {
    const float of_b = fma_once(static_cast<float>(b[i]), b_scale, constant);
    expected.push_back(byte_of(fma_once(static_cast<float>(a[i]), a_scale, of_b), least, most));
  }
  for (const Isa isa : supported_isas()) {
    const auto add = select_add<std::uint8_t>(isa).run;
    Bytes out(a.size());
    add({a.data(), b.data(), out.data(), count, a_scale, b_scale, constant, least, most});
    Bytes in_place = b;
    add({a.data(), in_place.data(), in_place.data(), count, a_scale, b_scale, constant, least,
         most});
    EXPECT(out == expected && in_place == expected, isa_name(isa), " ", count, " elements");
  }
}

template <class In, class Out, class Reference>
void check_convert(const std::vector<In>& in, float scale, float zero_point,
                   const Reference& reference) {
  std::vector<Out> expected;
  for (const In value : in) expected.push_back(reference(value_of(value)));
  for (const Isa isa : supported_isas()) {
    std::vector<Out> out(in.size());
    select_convert<In, Out>(isa).run(
        {in.data(), out.data(), static_cast<int64_t>(in.size()), scale, zero_point});
    EXPECT(same_bits(out, expected), isa_name(isa), " ", in.size(), " elements, scale ", scale,
           ", zero point ", zero_point);
  }
}

Floats values(int64_t count, float scale) {
  Floats result = random_floats(count, 5);
  for (float& value : result) value *= 200.0f * scale;
  const Floats special = {kNan, kInfinity, -kInfinity,   1e30f,         -1e30f,
                          0.0f, -0.0f,     2.5f * scale, -2.5f * scale, 1e-40f};
  for (std::size_t i = 0; i < special.size() && 3 * i < result.size(); ++i)
    result[3 * i] = special[i];
  return result;
}

void check_conversions(int64_t count, float scale, int zero_point) {
  const Floats floats = values(count, scale);
  std::vector<Bfloat16> halves;
  for (const float value : floats) halves.push_back(nearest(value));
  const Bytes bytes = random_bytes(count, 6);
  const auto zero = static_cast<float>(zero_point);
  const auto to_byte = [=](float x) {
    return std::isnan(x) ? std::uint8_t{0} : byte_of(x / scale + zero, 0, 255);
  };
  const auto to_float = [=](float q) { return (q - zero) * scale; };
  check_convert<float, std::uint8_t>(floats, scale, zero, to_byte);
  check_convert<Bfloat16, std::uint8_t>(halves, scale, zero, to_byte);
  check_convert<std::uint8_t, float>(bytes, scale, zero, to_float);
  check_convert<std::uint8_t, Bfloat16>(bytes, scale, zero,
                                        [&](float q) { return nearest(to_float(q)); });
  check_convert<float, Bfloat16>(floats, scale, zero, [](float x) { return nearest(x); });
  check_convert<Bfloat16, float>(halves, scale, zero, [](float x) { return x; });
}

}  // namespace

LPN_TEST(add_of_bytes) {
  for (const int64_t count : {1, 3, 4, 7, 8, 15, 16, 17, 31, 64, 1000}) {
    check_add(count, 0.7f, 0.4f, -20.3f, 0, 255);
    check_add(count, 0.5f, 0.25f, 3.0f, 3, 250);   // halves
    check_add(count, -1.9f, 2.1f, 40.5f, 17, 17);  // one value is left
    check_add(count, 1e-3f, 1e30f, 0.0f, 0, 255);
  }
}

LPN_TEST(elements_convert) {
  for (const int64_t count : {1, 3, 4, 7, 8, 15, 16, 17, 31, 64, 1000}) {
    check_conversions(count, 0.037f, 0);
    check_conversions(count, 2.0f, 128);
    check_conversions(count, 1e-4f, 255);
  }
}

}  // namespace lpn
