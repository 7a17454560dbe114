// Buffers, weights in bfloat16 and the store of packed arrays.
#if defined(__linux__)
#include <sys/mman.h>
#endif
#if defined(__unix__)
#include <unistd.h>
#endif

#include <cerrno>
#include <cfenv>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "base/cpu_features.h"
#include "engine/graph/stored_part.h"
#include "engine/graph/weight.h"
#include "engine/plan/weight_store.h"
#include "engine/run/compiled_model.h"
#include "graph_builder.h"
#include "model_runs.h"
#include "test.h"

namespace lpn {

using test::GraphBuilder;
using test::random_images;
using test::run_model;
using test::same_bits;

namespace {

constexpr std::int64_t kNoLimit = std::int64_t{1} << 62;

bool is_aligned(const void* data, std::size_t alignment) {
  return reinterpret_cast<std::uintptr_t>(data) % alignment == 0;
}

// 1, 2, 3, ... as bfloat16, exact up to 256.
std::shared_ptr<const WeightValues> halves(std::size_t size) {
  auto buffer = std::make_shared<Buffer<Bfloat16>>(size);
  for (std::size_t i = 0; i < size; ++i) {
    const auto value = static_cast<float>(i + 1);
    std::uint32_t bits = 0;
    std::memcpy(&bits, &value, sizeof(bits));
    (*buffer)[i] = static_cast<Bfloat16>(bits >> 16);
  }
  return std::make_shared<const WeightValues>(
      std::shared_ptr<const Bfloat16>(buffer, buffer->data()), size);
}

template <class Body>
bool throws_logic_error(const Body& body) {
  try {
    body();
  } catch (const std::logic_error&) {
    return true;
  }
  return false;
}

}  // namespace

LPN_TEST(buffer_alignment_and_ends) {
  constexpr std::size_t kPage = kHugePage / sizeof(float);
  for (const std::size_t size : {std::size_t{1}, kPage - 1, kPage, kPage + 1, 3 * kPage - 7}) {
    Buffer<float> buffer(size);
    EXPECT(is_aligned(buffer.data(), size < kPage ? kAlignment : kHugePage), size);
    buffer[0] = 1.0f;
    buffer[size - 1] = 2.0f;
    // Each keeps its own way of being freed.
    Buffer<float> small(3);
    std::swap(buffer, small);
    EXPECT(buffer.size() == 3 && small.size() == size && small[size - 1] == 2.0f, size);
  }
  EXPECT(Buffer<float>(0).data() == nullptr);
}

#if defined(__linux__)
LPN_TEST(large_buffers_give_their_pages_back) {
  if (!maps_pages()) return;
  constexpr std::size_t kPage = kHugePage / sizeof(float);
  // Having freed as much, malloc would keep what is freed next, huge pages and all.
  Buffer<float>(8 * kPage)[0] = 1.0f;
  float* data = nullptr;
  {
    Buffer<float> buffer(3 * kPage);
    data = buffer.data();
    data[0] = 1.0f;
  }
  unsigned char resident = 0;
  EXPECT(mincore(data, 1, &resident) == -1 && errno == ENOMEM);
}
#endif

LPN_TEST(bfloat16_weights_are_widened_within_a_scope) {
  const std::shared_ptr<const WeightValues> values = halves(200);
  const std::shared_ptr<const WeightValues> others = halves(7);
  WideningMemory memory;
  EXPECT(throws_logic_error([&] { values->data(); }), "without a scope");
  {
    const WideningScope outer(memory);
    const float* data = values->data();
    for (std::size_t i = 0; i < values->size(); ++i)
      EXPECT(data[i] == static_cast<float>(i + 1), i);
    EXPECT(others->data() != data && others->data()[6] == 7.0f);
    try {
      const WideningScope inner(memory);
      EXPECT(values->data()[199] == 200.0f);
      throw std::runtime_error("in a fill");
    } catch (const std::runtime_error&) {
    }
    EXPECT(values->data() == data && data[199] == 200.0f, "the outer scope's copy was dropped");
    bool refused = false;
    std::thread other([&] { refused = throws_logic_error([&] { values->data(); }); });
    other.join();
    EXPECT(refused, "another thread's scope was used");
  }
  EXPECT(throws_logic_error([&] { values->data(); }), "after the scope");
}

LPN_TEST(widened_weights_are_kept_apart) {
  constexpr std::size_t kBlock = kHugePage / sizeof(float);
  std::vector<std::shared_ptr<const WeightValues>> weights;
  for (const std::size_t size : {std::size_t{1}, std::size_t{17}, kBlock - 40, std::size_t{64},
                                 kBlock, kBlock + 5, std::size_t{3}, 3 * kBlock}) {
    weights.push_back(std::make_shared<const WeightValues>(
        std::shared_ptr<const Bfloat16>(new Bfloat16[size](), std::default_delete<Bfloat16[]>()),
        size));
  }
  WideningMemory memory;
  for (std::size_t first = 0; first < weights.size(); ++first) {
    const WideningScope scope(memory);
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const WeightValues& values = *weights[(first + i) % weights.size()];
      auto* const data = const_cast<float*>(values.data());
      EXPECT(data[0] == 0.0f && data[values.size() - 1] == 0.0f, first, i);
      data[0] = data[values.size() - 1] = static_cast<float>(i + 1);
    }
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const WeightValues& values = *weights[(first + i) % weights.size()];
      const float* const data = values.data();
      const auto mark = static_cast<float>(i + 1);
      EXPECT(data[0] == mark && data[values.size() - 1] == mark, first, i);
    }
  }
}

#if defined(__linux__)
LPN_TEST(what_weights_were_widened_into_is_given_back) {
  if (!maps_pages()) return;
  const std::shared_ptr<const WeightValues> values = halves(200);
  WideningMemory memory;
  const float* data = nullptr;
  for (int turn = 0; turn < 2; ++turn) {
    const WideningScope scope(memory);
    EXPECT(data == nullptr || data == values->data(), "the same memory again");
    data = values->data();
  }
  auto* const page = const_cast<float*>(data);  // the first of its mapping
  unsigned char resident = 0;
  EXPECT(mincore(page, 1, &resident) == 0);
  memory.release();
  EXPECT(mincore(page, 1, &resident) == -1 && errno == ENOMEM);
}
#endif

#if defined(__unix__)
LPN_TEST(stored_weights_are_read_within_a_scope) {
  // 1 as float32, in little-endian bytes; its upper half is 1 as bfloat16, the lower one 0.
  const unsigned char bytes[] = {0, 0, 0x80, 0x3f, 0, 0, 0x80, 0x3f, 0x40};
  std::FILE* const file = std::tmpfile();
  EXPECT(file != nullptr && std::fwrite(bytes, 1, sizeof(bytes), file) == sizeof(bytes) &&
         std::fflush(file) == 0);
  const auto stored = std::make_shared<const StoredFile>(fileno(file), "nine bytes");
  EXPECT(stored->size() == 9);
  const auto part = std::make_shared<const StoredPart>(stored, 0, 8);
  const WeightValues floats(DType::kF32, part);
  const WeightValues halves(DType::kBf16, part);
  EXPECT(floats.size() == 2 && halves.size() == 4);
  EXPECT(throws_logic_error([&] { floats.data(); }), "without a scope");
  WideningMemory memory;
  const auto refusal = [&memory](const WeightValues& values) {
    try {
      const WideningScope scope(memory);
      values.data();
    } catch (const std::system_error& error) {
      return error.code().value();
    }
    return 0;
  };
  {
    const WideningScope scope(memory);
    EXPECT(floats.data()[0] == 1.0f && floats.data()[1] == 1.0f);
    EXPECT(halves.data()[0] == 0.0f && halves.data()[1] == 1.0f && halves.data()[3] == 1.0f);
    EXPECT(floats.data() == floats.data(), "read twice");
  }
  // A byte beyond the part, then one within it, then the end.
  EXPECT(std::fseek(file, 8, SEEK_SET) == 0 && std::fputc(0, file) == 0 && std::fflush(file) == 0);
  EXPECT(refusal(floats) == 0 && refusal(halves) == 0);
  EXPECT(std::fseek(file, 7, SEEK_SET) == 0 && std::fputc(0, file) == 0 && std::fflush(file) == 0);
  EXPECT(refusal(floats) == ESTALE && refusal(halves) == ESTALE);
  EXPECT(ftruncate(fileno(file), 3) == 0);
  EXPECT(refusal(floats) == ESTALE && refusal(halves) == ESTALE);
  std::fclose(file);
}
#endif

LPN_TEST(weight_store_keeps_arrays_apart) {
  WeightStore store(kNoLimit);
  const std::shared_ptr<const WeightValues> values = halves(2);
  constexpr std::int64_t kLarge = 5 << 20;  // floats: more than what is put aside at a time
  const std::vector<std::int64_t> sizes = {1, 17, kLarge, 16, 3 << 20, 1000, 3 << 20, 2};
  std::vector<const float*> arrays;
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    arrays.push_back(store.get<float>(std::to_string(i), sizes[i], [&](float* packed) {
      packed[0] = packed[sizes[i] - 1] = static_cast<float>(i) * values->data()[1];
    }));
  }
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    const auto wanted = static_cast<float>(2 * i);
    EXPECT(is_aligned(arrays[i], kAlignment), i);
    EXPECT(arrays[i][0] == wanted && arrays[i][sizes[i] - 1] == wanted, i);
    EXPECT(store.get<float>(std::to_string(i), sizes[i], [](float*) {}) == arrays[i], i,
           " made again");
  }
}

LPN_TEST(weight_store_tries_again_after_a_failure) {
  WeightStore store(kNoLimit);
  bool failed = false;
  try {
    store.get<float>("w", 4, [](float*) { throw std::runtime_error("no memory"); });
  } catch (const std::runtime_error&) {
    failed = true;
  }
  EXPECT(failed);
  EXPECT(store.get<float>("w", 4, [](float* packed) { packed[3] = 5.0f; })[3] == 5.0f);
  EXPECT(throws_logic_error([] { halves(1)->data(); }), "the failed fill left its scope");
}

LPN_TEST(a_plan_does_not_keep_its_makers_rounding_mode) {
  const Shape shape{16, 12, 8};
  GraphBuilder builder(shape.c);
  const Graph graph = builder.finish(builder.bottleneck("image", shape.c, 24, 2, "gc"));
  const std::vector<float> images = random_images(1, shape);
  CompiledModel model(graph, 1, default_isa());
  CompiledModel same(graph, 1, default_isa());
  std::fesetround(FE_UPWARD);
  same.prepare(shape.h, shape.w);
  std::fesetround(FE_TONEAREST);
  EXPECT(same_bits(run_model(same, images, 1, shape), run_model(model, images, 1, shape)));
}

}  // namespace lpn
