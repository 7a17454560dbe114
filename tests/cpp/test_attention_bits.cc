// The attention kernels give the same bits on every tier.
#include <cmath>
#include <cstdint>
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

// Logits and the sum of their exponentials are sums across lanes.
template <class T>
void check_gc_pool_bits() {
  std::mt19937 generator(6);
  for (const std::int64_t c : {1, 5, 8, 9, 16, 23, 40, 64, 100, 256}) {
    for (const std::int64_t positions : {1, 7, 8, 15, 16, 17, 40, 64, 65, 131}) {
      const std::vector<T> x = elements_of<T>(random_floats(generator, positions * c));
      const Floats w = random_floats(generator, c, 1.0f / kUnits<T>);
      std::vector<Floats> partials;
      for (const Isa isa : supported_isas()) {
        Floats logits(static_cast<std::size_t>(positions));
        partials.emplace_back(static_cast<std::size_t>(2 + c));
        select_gc_pool<T>(isa).run(
            {x.data(), positions, c, w.data(), logits.data(), partials.back().data()});
        EXPECT(partials.back() == partials.front(), isa_name(isa), " and scalar differ for c ", c,
               ", positions ", positions);
      }
    }
  }
}

LPN_TEST(gc_pool_adds_lanes_in_one_order) {
  check_gc_pool_bits<float>();
  check_gc_pool_bits<Bfloat16>();
  check_gc_pool_bits<std::uint8_t>();
}

// Layers of all widths, around the vectors' and the four chains of a column.
LPN_TEST(layers_of_attention_give_the_same_bits_on_every_tier) {
  std::mt19937 generator(7);
  for (const std::int64_t c : {1, 3, 17, 33, 64, 130}) {
    for (const std::int64_t hidden : {1, 4, 16, 19}) {
      const Floats x = random_floats(generator, c);
      const Floats w1 = random_floats(generator, hidden * c);
      const Floats w2 = random_floats(generator, hidden * c);
      const Floats of_hidden = random_floats(generator, hidden);
      const Floats of_output = random_floats(generator, c);
      std::vector<Floats> results;
      for (const Isa isa : supported_isas()) {
        Floats scratch(static_cast<std::size_t>(hidden));
        Floats added(static_cast<std::size_t>(c));
        Floats gate(static_cast<std::size_t>(c));
        select_gc_transform(isa).run({x.data(), c, hidden, c, w1.data(), of_hidden.data(),
                                      of_hidden.data(), of_hidden.data(), 1e-5f, w2.data(),
                                      of_output.data(), of_output.data(), scratch.data(),
                                      added.data()});
        select_se_gate(isa).run({x.data(), c, hidden, c, w1.data(), of_hidden.data(), w2.data(),
                                 scratch.data(), gate.data()});
        results.push_back(added);
        results.back().insert(results.back().end(), gate.begin(), gate.end());
        EXPECT(results.back() == results.front(), isa_name(isa), " and scalar differ for c ", c,
               ", hidden ", hidden);
      }
    }
  }
}

// The largest logit may be in any chunk, and the others' weights nothing.
LPN_TEST(partials_of_gc_pool_merge_to_the_weighted_mean) {
  for (const float distance : {0.0f, -0.25f, -1.0f, -30.0f, -700.0f, -1000.0f}) {
    const double weight = std::exp(static_cast<double>(distance));
    for (const bool largest_first : {true, false}) {
      const Floats partials = largest_first ? Floats{3.0f, 2.0f, 5.0f, 3.0f + distance, 4.0f, 7.0f}
                                            : Floats{3.0f + distance, 4.0f, 7.0f, 3.0f, 2.0f, 5.0f};
      float context = 0;
      merge_gc_partials(partials.data(), 2, 1, &context);
      const double expected = (5.0 + 7.0 * weight) / (2.0 + 4.0 * weight);
      EXPECT(context == static_cast<float>(expected), "distance ", distance, " gave ", context);
    }
  }
}

}  // namespace
}  // namespace lpn
