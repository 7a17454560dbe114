// What a plan does, one operation after the other: what nodes become, and what passes rewrite.
// Independent of sizes and of the CPU.
#pragma once

#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "engine/graph/dtype.h"
#include "engine/graph/graph.h"
#include "engine/graph/quantization.h"

namespace lpn {

class Step;
struct StepBuilder;

struct Tensor {
  DType type = DType::kF32;
  std::int64_t channels = 0;  // of a node's
  // What it is as bytes: of a node's result that has one in the graph.
  std::optional<Quantization> quantization;
  // The tensor, with a place of its own, among whose channels it lies, from `channel` on; -1 where
  // it has one itself.
  int inside = -1;
  // The tensor that it holds the numbers of in another type, and has the shape of; -1 for none.
  int copied = -1;
  std::int64_t channel = 0;
};

// An input that becomes the result's channels from `channel` on.
struct ChannelCopy {
  int input;
  std::int64_t channel;
};

// Tensors are numbered as the graph's (0 the input, i + 1 node i's output); those between the
// operations of one node follow.
struct Operation {
  explicit Operation(const Node& of) : node(&of) {}
  virtual ~Operation() = default;

  // As often as they are read.
  virtual std::vector<int> reads() const = 0;
  virtual std::vector<int> writes() const = 0;

  // Reads or writes `to` wherever that was `from`.
  virtual void redirect(int from, int to) = 0;

  // The tensor over which the result may be written: every element of it is read by the tile that
  // then writes it, and by nothing else.
  virtual std::optional<int> overwritable() const { return std::nullopt; }

  // Whether it reads or writes the tensor at any row stride: StepBuilder::row_stride elements from
  // one position to the next. Without, positions lie one after the other.
  virtual bool takes_stride(int /*tensor*/) const { return false; }

  // Whether there is a kernel for its tensors in the types that they have. For all of them in
  // float32 there always is; by default, for nothing else.
  virtual bool takes_types(const std::vector<Tensor>& tensors) const;

  // Its copies, where they are all that it does; null otherwise. Of those, a pass may take away
  // what is written to its place already.
  virtual std::vector<ChannelCopy>* copies() { return nullptr; }

  // Whether a node that it stems from is to be computed in floating point.
  virtual bool keeps_float() const { return node->keeps_float || absorbed_float_; }
  // Does another one's work beside its own.
  void absorb(const Operation& other) { absorbed_float_ = absorbed_float_ || other.keeps_float(); }

  // Fills in what the step costs, too, and declares the shapes of tensors that are no node's.
  virtual std::unique_ptr<Step> make_step(StepBuilder& builder) const = 0;

  const Node* node;  // whose name and weights these are

 private:
  bool absorbed_float_ = false;
};

// For Operation::redirect.
inline void redirect_tensor(int& tensor, int from, int to) {
  if (tensor == from) tensor = to;
}

// For Operation::takes_types.
inline DType type_of(const std::vector<Tensor>& tensors, int tensor) {
  return tensors[static_cast<std::size_t>(tensor)].type;
}
bool of_one_type(const std::vector<Tensor>& tensors, const std::vector<int>& among);
// Of one floating-point type.
bool of_one_float(const std::vector<Tensor>& tensors, const std::vector<int>& among);
// Of bytes that stand for the same numbers.
bool of_same_bytes(const std::vector<Tensor>& tensors, const std::vector<int>& among);
// Whether each of them has a quantization.
bool all_quantized(const std::vector<Tensor>& tensors, const std::vector<int>& among);

class OperationGraph {
 public:
  // Operations of a graph's nodes whose results its outputs depend on, in the nodes' order. The
  // graph must outlive them.
  explicit OperationGraph(const Graph& graph);

  // Of an operation that runs after all that are there.
  void add(std::unique_ptr<Operation> operation) { operations.push_back(std::move(operation)); }
  int add_tensor(DType type = DType::kF32) {
    tensors.emplace_back().type = type;
    return static_cast<int>(tensors.size()) - 1;
  }
  // The same map as a node's tensor, of another type.
  int add_copy(int tensor, DType type) {
    const int copy = add_tensor(type);
    tensors.back().copied = tensor;
    return copy;
  }

  // Per tensor how often operations read it; the graph's outputs are read once more.
  std::vector<int> count_readers() const;

  // The tensor whose place this one lies in: itself, or the one that it is inside of.
  int container(int tensor) const;

  // Closes the gaps that operations leave which a pass took elsewhere.
  void remove_moved();

  std::vector<std::unique_ptr<Operation>> operations;
  std::vector<Tensor> tensors;
  std::vector<int> outputs;
  // What makes the input of a pixel's three channels, where that is known; else null.
  const PixelInput* pixels = nullptr;
};

}  // namespace lpn
