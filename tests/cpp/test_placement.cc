// Places of tensors of any element type, for operations that only say what they read and write.
#include "engine/plan/placement.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "engine/plan/step.h"
#include "engine/plan/weight_store.h"
#include "graph_builder.h"
#include "test.h"

namespace lpn {
namespace {

using test::GraphBuilder;

struct FakeOperation final : Operation {
  FakeOperation(const Node& of, std::vector<int> in, int result, bool in_place = false)
      : Operation(of), inputs(std::move(in)), output(result), overwrites(in_place) {}

  std::vector<int> reads() const override { return inputs; }
  std::vector<int> writes() const override { return {output}; }
  std::optional<int> overwritable() const override {
    return overwrites ? std::optional<int>(inputs.front()) : std::nullopt;
  }
  std::unique_ptr<Step> make_step(StepBuilder&) const override { return nullptr; }

  std::vector<int> inputs;
  int output;
  bool overwrites;
};

}  // namespace

LPN_TEST(placement_counts_in_bytes_of_each_tensors_type) {
  // image > 2 (bfloat16) > 3 > 4 over 3 > 1, the output; 2 is read to the end.
  GraphBuilder b(8);
  const Graph whole = b.finish(b.max_pool("image", 3, 1, 1));
  const Node& node = whole.nodes().front();
  OperationGraph graph(whole);
  graph.operations.clear();
  const int halves = graph.add_tensor(DType::kBf16);
  const int floats = graph.add_tensor();
  const int sum = graph.add_tensor();
  graph.add(std::make_unique<FakeOperation>(node, std::vector<int>{0}, halves));
  graph.add(std::make_unique<FakeOperation>(node, std::vector<int>{halves}, floats));
  graph.add(std::make_unique<FakeOperation>(node, std::vector<int>{floats}, sum, true));
  graph.add(std::make_unique<FakeOperation>(node, std::vector<int>{sum, halves}, 1));
  const Shape shape{5, 5, 8};
  const Placement placement = place_tensors(graph, std::vector<Shape>(graph.tensors.size(), shape));

  const auto place = [&](int tensor) { return placement.places[static_cast<std::size_t>(tensor)]; };
  EXPECT(place(0).kind == Place::Kind::kInput && place(0).bytes == 800);
  EXPECT(place(1).kind == Place::Kind::kOutput && place(1).bytes == 800);
  EXPECT(place(halves).type == DType::kBf16 && place(halves).bytes == 400, place(halves).bytes);
  EXPECT(place(floats).type == DType::kF32 && place(floats).bytes == 800, place(floats).bytes);
  EXPECT(place(sum).offset == place(floats).offset, "not in place");
  // 400 bytes beside 800, both in whole cache lines.
  EXPECT(placement.arena_bytes == 448 + 832, placement.arena_bytes);
  EXPECT(place(halves).offset >= 832 || place(floats).offset >= 448);
}

LPN_TEST(placement_types_the_access_of_steps) {
  Place places[2];
  places[1].type = DType::kBf16;
  Buffer<std::byte> memory(256);
  std::byte* const tensors[] = {memory.data(), memory.data() + 64};
  const RunContext context{places, tensors, memory.data() + 128, 64};
  EXPECT(context.tensor<float>(0) == reinterpret_cast<float*>(memory.data()));
  EXPECT(context.tensor<Bfloat16>(1) == reinterpret_cast<Bfloat16*>(memory.data() + 64));
  EXPECT(context.scratch_of<Bfloat16>(1) == reinterpret_cast<Bfloat16*>(memory.data() + 192));
}

LPN_TEST(weight_store_holds_arrays_of_any_type) {
  WeightStore store(std::int64_t{1} << 20);
  const Bfloat16* halves =
      store.get<Bfloat16>("halves", 33, [](Bfloat16* packed) { packed[32] = Bfloat16{7}; });
  const float* floats = store.get<float>("floats", 1, [](float* packed) { *packed = 3.0f; });
  EXPECT(halves[32] == Bfloat16{7} && *floats == 3.0f);
  // 66 bytes take two cache lines, and the slab hands them out one after the other.
  EXPECT(reinterpret_cast<const std::byte*>(floats) - reinterpret_cast<const std::byte*>(halves) ==
         128);
}

}  // namespace lpn
