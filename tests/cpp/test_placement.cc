// Places of tensors of any element type, for operations that only say what they read and write.
#include "engine/plan/placement.h"

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "base/buffer.h"
#include "engine/passes/passes.h"
#include "engine/plan/step.h"
#include "engine/plan/weight_store.h"
#include "graph_builder.h"
#include "test.h"

namespace lpn {
namespace {

using test::GraphBuilder;

struct FakeOperation : Operation {
  FakeOperation(const Node& of, std::vector<int> in, int result, bool in_place = false)
      : Operation(of), inputs(std::move(in)), output(result), overwrites(in_place) {}

  void redirect(int, int) override {}
  std::vector<int> reads() const override { return inputs; }
  std::vector<int> writes() const override { return {output}; }
  std::optional<int> overwritable() const override {
    return overwrites ? std::optional<int>(inputs.front()) : std::nullopt;
  }
  bool takes_stride(int tensor) const override { return tensor != contiguous; }
  std::unique_ptr<Step> make_step(StepBuilder&) const override { return nullptr; }

  std::vector<int> inputs;
  int output;
  bool overwrites;
  int contiguous = -1;
};

struct FakeJoin final : FakeOperation {
  FakeJoin(const Node& of, std::vector<ChannelCopy> copied, int result)
      : FakeOperation(of, {}, result), parts(std::move(copied)) {}

  std::vector<int> reads() const override {
    std::vector<int> tensors;
    for (const ChannelCopy& part : parts) tensors.push_back(part.input);
    return tensors;
  }
  std::vector<ChannelCopy>* copies() override { return &parts; }

  std::vector<ChannelCopy> parts;
};

// A graph of one node, whose operations the tests write: tensor 0 is its input, 1 its output.
class FakeGraph {
 public:
  FakeGraph() : whole_(make_whole()), graph(whole_) { graph.operations.clear(); }

  int add(std::vector<int> inputs) {
    const int output = graph.add_tensor();
    add(std::move(inputs), output);
    return output;
  }
  FakeOperation& add(std::vector<int> inputs, int output, bool in_place = false) {
    auto operation = std::make_unique<FakeOperation>(node(), std::move(inputs), output, in_place);
    FakeOperation& added = *operation;
    graph.add(std::move(operation));
    return added;
  }
  void join(std::vector<ChannelCopy> parts, int output) {
    graph.add(std::make_unique<FakeJoin>(node(), std::move(parts), output));
  }
  const Tensor& tensor(int number) const { return graph.tensors[static_cast<std::size_t>(number)]; }

 private:
  static Graph make_whole() {
    GraphBuilder b(8);
    return b.finish(b.max_pool("image", 3, 1, 1));
  }
  const Node& node() const { return whole_.nodes().front(); }

  const Graph whole_;

 public:
  OperationGraph graph;
};

}  // namespace

LPN_TEST(placement_counts_in_bytes_of_each_tensors_type) {
  // image > halves > floats > sum, in place > 1, the output; the halves are read to the end.
  FakeGraph fake;
  OperationGraph& graph = fake.graph;
  const int halves = graph.add_tensor(DType::kBf16);
  fake.add({0}, halves);
  const int floats = fake.add({halves});
  const int sum = graph.add_tensor();
  fake.add({floats}, sum, true);
  fake.add({sum, halves}, 1);
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

LPN_TEST(pass_elides_copies_where_everyone_takes_a_stride) {
  FakeGraph fake;
  const int a = fake.add({0});
  const int b = fake.add({0});
  const int c = fake.add({a});
  const int joined = fake.graph.add_tensor();
  fake.join({{a, 0}, {b, 8}, {0, 16}, {a, 24}, {c, 32}}, joined);
  FakeOperation& reader = fake.add({joined, c}, 1);
  reader.contiguous = c;
  fake.graph = elide_copies(std::move(fake.graph));
  EXPECT(fake.tensor(a).inside == joined && fake.tensor(a).channel == 0);
  EXPECT(fake.tensor(b).inside == joined && fake.tensor(b).channel == 8);
  // The input, what was written elsewhere, and what somebody wants contiguous are copied.
  const auto& copies = *fake.graph.operations[3]->copies();
  EXPECT(copies.size() == 3 && copies[0].input == 0 && copies[1].input == a &&
         copies[2].input == c);
  EXPECT(fake.tensor(0).inside < 0 && fake.tensor(c).inside < 0);
  EXPECT(fake.graph.container(b) == joined && fake.graph.container(c) == c);
}

LPN_TEST(pass_copies_between_types_and_to_other_outputs) {
  FakeGraph fake;
  const int a = fake.add({0});
  const int halves = fake.graph.add_tensor(DType::kBf16);
  fake.add({0}, halves);
  const int joined = fake.graph.add_tensor();
  fake.join({{a, 0}, {halves, 8}}, joined);
  fake.add({joined}, 1);
  fake.graph.outputs.push_back(a);
  fake.graph = elide_copies(std::move(fake.graph));
  EXPECT(fake.tensor(a).inside < 0, "an output has no place of its own");
  EXPECT(fake.tensor(halves).inside < 0, "bfloat16 among floats");
  EXPECT(fake.graph.operations.size() == 4);
}

// Two levels: a and b side by side, those and c in the output.
LPN_TEST(placement_puts_slices_into_their_container) {
  FakeGraph fake;
  const int a = fake.add({0});
  const int b = fake.add({a});
  const int inner = fake.graph.add_tensor();
  fake.join({{a, 0}, {b, 8}}, inner);
  const int c = fake.add({inner});
  fake.join({{c, 0}, {inner, 4}}, 1);
  fake.graph = elide_copies(std::move(fake.graph));
  EXPECT(fake.graph.operations.size() == 3, "a copy is left");
  std::vector<Shape> shapes(fake.graph.tensors.size(), Shape{2, 3, 8});
  shapes[static_cast<std::size_t>(c)].c = 4;
  shapes[static_cast<std::size_t>(inner)].c = 16;
  shapes[1].c = 20;
  const Placement placement = place_tensors(fake.graph, shapes);
  const auto place = [&](int tensor) { return placement.places[static_cast<std::size_t>(tensor)]; };
  for (const int tensor : {1, a, b, c, inner}) {
    EXPECT(place(tensor).kind == Place::Kind::kOutput && place(tensor).container == 1, tensor);
  }
  EXPECT(place(c).offset == 0 && place(inner).offset == 16 && place(a).offset == 16 &&
         place(b).offset == 48);
  EXPECT(placement.arena_bytes == 0);
}

LPN_TEST(placement_keeps_a_container_alive_from_its_first_slice_on) {
  FakeGraph fake;
  const int a = fake.add({0});
  const int other = fake.add({a});
  const int b = fake.add({other});
  const int joined = fake.graph.add_tensor();
  fake.join({{a, 0}, {b, 8}}, joined);
  fake.add({joined}, 1);
  fake.graph = elide_copies(std::move(fake.graph));
  std::vector<Shape> shapes(fake.graph.tensors.size(), Shape{2, 4, 8});
  shapes[static_cast<std::size_t>(joined)].c = 16;
  const Placement placement = place_tensors(fake.graph, shapes);
  EXPECT(placement.arena_bytes == 512 + 256, placement.arena_bytes);
  const Place& container = placement.places[static_cast<std::size_t>(joined)];
  EXPECT(container.first == 0 && container.last == 3);
}

// The convolution's input lies in what its result would overwrite.
LPN_TEST(placement_overwrites_no_container_of_another_input) {
  for (const bool slice_is_read : {true, false}) {
    FakeGraph fake;
    const int a = fake.add({0});
    const int b = fake.add({0});
    const int joined = fake.graph.add_tensor();
    fake.join({{a, 0}, {b, 8}}, joined);
    const int sum = fake.graph.add_tensor();
    fake.add(slice_is_read ? std::vector<int>{joined, a} : std::vector<int>{joined}, sum, true);
    fake.add({sum}, 1);
    fake.graph = elide_copies(std::move(fake.graph));
    std::vector<Shape> shapes(fake.graph.tensors.size(), Shape{2, 4, 8});
    shapes[static_cast<std::size_t>(joined)].c = shapes[static_cast<std::size_t>(sum)].c = 16;
    const Placement placement = place_tensors(fake.graph, shapes);
    EXPECT(placement.arena_bytes == (slice_is_read ? 1024 : 512), placement.arena_bytes);
  }
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
