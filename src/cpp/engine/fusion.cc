#include "engine/fusion.h"

#include <algorithm>

namespace lpn {
namespace {

constexpr int kNone = -1;

bool is_attention(const Node& node) {
  return node.kind == NodeKind::kGcBlock || node.kind == NodeKind::kSeBlock;
}

// Decides, then emits. Node indices and tensor numbers are related by tensor = node + 1.
class Fuser {
 public:
  explicit Fuser(const Graph& graph)
      : graph_(graph),
        live_(graph.nodes().size(), false),
        consumers_(graph.nodes().size() + 1, 0),
        absorbed_(graph.nodes().size(), false),
        projection_(graph.nodes().size(), kNone),
        summand_(graph.nodes().size(), kNone),
        producers_(graph.nodes().size() + 1, kNone),
        tensors_(static_cast<int>(graph.nodes().size()) + 1) {}

  FusedGraph run() {
    find_live();
    for (int i = 0; i < size(); ++i) {
      if (!live_[at(i)]) continue;
      if (is_attention(node(i))) find_projection(i);
      if (node(i).kind == NodeKind::kAdd) find_summand(i);
    }
    for (int i = 0; i < size(); ++i) {
      if (live_[at(i)]) emit(i);
    }
    join_upsampling();
    return {std::move(operations_), tensors_};
  }

 private:
  static std::size_t at(int i) { return static_cast<std::size_t>(i); }
  int size() const { return static_cast<int>(graph_.nodes().size()); }
  const Node& node(int i) const { return graph_.nodes()[at(i)]; }

  // Nodes the output depends on, and how often each tensor is used by them (the output counts as a
  // use).
  void find_live() {
    live_[at(graph_.output() - 1)] = true;
    ++consumers_[at(graph_.output())];
    for (int i = size() - 1; i >= 0; --i) {
      if (!live_[at(i)]) continue;
      for (const int input : node(i).inputs) {
        ++consumers_[at(input)];
        if (input > 0) live_[at(input - 1)] = true;
      }
    }
  }

  // A dense convolution whose result nobody else sees and which nothing was applied to yet.
  bool can_absorb_conv(int i) const {
    return i >= 0 && node(i).kind == NodeKind::kConv2d && !is_depthwise(node(i)) &&
           node(i).attributes.activation == Activation::kNone && consumers_[at(i + 1)] == 1;
  }

  // Pooling commutes with a 1x1 convolution: what goes into it can be pooled before it runs, and
  // the block's vector is then ready for its epilogue.
  void find_projection(int block) {
    const int producer = node(block).inputs[0] - 1;
    if (!can_absorb_conv(producer) || !is_pointwise(node(producer)) ||
        node(producer).attributes.stride != 1)
      return;
    projection_[at(block)] = producer;
    absorbed_[at(producer)] = true;
  }

  // The input of an add whose epilogue can do the addition: the later one, so that the other is
  // there already.
  void find_summand(int add) {
    std::vector<int> candidates = node(add).inputs;
    std::sort(candidates.rbegin(), candidates.rend());
    for (const int tensor : candidates) {
      const int i = tensor - 1;
      const bool block = i >= 0 && projection_[at(i)] != kNone && consumers_[at(tensor)] == 1;
      if (!block && !can_absorb_conv(i)) continue;
      summand_[at(add)] = i;
      absorbed_[at(i)] = true;
      return;
    }
  }

  void emit(int i) {
    const Node& n = node(i);
    if (is_attention(n)) {
      emit_attention(i);
    } else if (absorbed_[at(i)]) {
      return;
    } else if (n.kind == NodeKind::kAdd && summand_[at(i)] != kNone) {
      const int summand = summand_[at(i)];
      const int other = n.inputs[0] == summand + 1 ? n.inputs[1] : n.inputs[0];
      emit_conv(summand, other, i + 1, n.attributes.activation);
    } else if (n.kind == NodeKind::kConv2d && !is_depthwise(n)) {
      emit_conv(i, kNone, i + 1, n.attributes.activation);
    } else {
      emit_plain(i);
    }
  }

  // `i` is a convolution, or an attention block whose projection carries it.
  void emit_conv(int i, int residual, int output, Activation activation) {
    Operation operation;
    operation.kind = OperationKind::kConv;
    operation.node = &node(i);
    if (is_attention(node(i))) {
      operation.node = &node(projection_[at(i)]);
      operation.attention = &node(i);
      operation.vector = vectors_.at(at(i));
    }
    operation.input = operation.node->inputs[0];
    operation.residual = residual;
    operation.output = output;
    operation.activation = activation;
    emit_producer(operation);
  }

  void emit_producer(const Operation& operation) {
    producers_[at(operation.output)] = static_cast<int>(operations_.size());
    operations_.push_back(operation);
  }

  void emit_plain(int i) {
    const Node& n = node(i);
    Operation operation;
    operation.node = &n;
    operation.input = n.inputs[0];
    operation.output = i + 1;
    operation.activation = n.attributes.activation;
    switch (n.kind) {
      case NodeKind::kConv2d:
        operation.kind = OperationKind::kDepthwise;
        break;
      case NodeKind::kConvTranspose2d:
        operation.kind = OperationKind::kConvTranspose;
        break;
      case NodeKind::kMaxPool2d:
        operation.kind = OperationKind::kMaxPool;
        break;
      case NodeKind::kAdd:
      case NodeKind::kGcBlock:
      case NodeKind::kSeBlock:
        operation.kind = OperationKind::kAdd;
        operation.residual = n.inputs[1];
        break;
    }
    emit_producer(operation);
  }

  void emit_attention(int i) {
    const Node& block = node(i);
    const Node* projection = projection_[at(i)] == kNone ? nullptr : &node(projection_[at(i)]);
    const int pooled = projection == nullptr ? block.inputs[0] : projection->inputs[0];
    Operation pool;
    pool.kind = OperationKind::kPool;
    pool.node = &block;
    pool.attention = &block;
    pool.projection = projection;
    pool.input = pooled;
    pool.partials = tensors_++;
    const int number = producers_[at(pooled)];
    Operation* producer = number == kNone ? nullptr : &operations_[at(number)];
    if (producer != nullptr && producer->kind == OperationKind::kDepthwise &&
        producer->attention == nullptr) {
      producer->attention = &block;
      producer->projection = projection;
      producer->partials = pool.partials;
    } else {
      operations_.push_back(pool);
    }
    Operation excite = pool;
    excite.kind = OperationKind::kExcite;
    excite.input = kNone;
    excite.vector = tensors_++;
    operations_.push_back(excite);
    vectors_.resize(graph_.nodes().size(), kNone);
    vectors_[at(i)] = excite.vector;
    if (projection != nullptr) {
      if (!absorbed_[at(i)]) emit_conv(i, kNone, i + 1, Activation::kNone);
      return;
    }
    Operation broadcast;
    broadcast.kind = OperationKind::kBroadcast;
    broadcast.node = &block;
    broadcast.attention = &block;
    broadcast.input = block.inputs[0];
    broadcast.vector = excite.vector;
    broadcast.output = i + 1;
    emit_producer(broadcast);
  }

  // A 1x1 convolution that needs nothing but the rows the operation before it has just made, and is
  // the only one to.
  bool continues(const Operation& before, const Operation& operation) const {
    return operation.kind == OperationKind::kConv && is_pointwise(*operation.node) &&
           operation.node->attributes.stride == 1 && operation.attention == nullptr &&
           operation.residual == kNone && operation.input == before.output &&
           consumers_[at(before.output)] == 1;
  }

  void join_upsampling() {
    std::vector<Operation> joined;
    for (Operation& operation : operations_) {
      const bool open = !joined.empty() && (joined.back().kind == OperationKind::kConvTranspose ||
                                            joined.back().kind == OperationKind::kUpsample);
      if (!open || !continues(joined.back(), operation)) {
        joined.push_back(std::move(operation));
        continue;
      }
      Operation& last = joined.back();
      if (last.kind == OperationKind::kConvTranspose) {
        last.stages = {last};
        last.kind = OperationKind::kUpsample;
      }
      last.output = operation.output;
      last.stages.push_back(std::move(operation));
    }
    operations_ = std::move(joined);
  }

  const Graph& graph_;
  std::vector<bool> live_;
  std::vector<int> consumers_;
  std::vector<bool> absorbed_;   // emitted as part of a later node
  std::vector<int> projection_;  // per attention block
  std::vector<int> summand_;     // per add: the node whose epilogue does it
  std::vector<int> vectors_;     // per attention block
  std::vector<int> producers_;   // per tensor of the graph: the operation that writes it
  std::vector<Operation> operations_;
  int tensors_;
};

std::vector<int> present(std::initializer_list<int> tensors) {
  std::vector<int> result;
  std::copy_if(tensors.begin(), tensors.end(), std::back_inserter(result),
               [](int tensor) { return tensor != kNone; });
  return result;
}

}  // namespace

std::vector<int> Operation::reads() const {
  if (kind == OperationKind::kExcite) return {partials};
  return present({input, residual, vector});
}

std::vector<int> Operation::writes() const {
  if (kind == OperationKind::kExcite) return {vector};
  return present({output, partials});
}

bool is_depthwise(const Node& node) {
  return node.kind == NodeKind::kConv2d && node.attributes.groups > 1;
}

bool is_pointwise(const Node& node) {
  if (node.kind != NodeKind::kConv2d || is_depthwise(node)) return false;
  const std::vector<std::int64_t>& shape = node.weight("weight").shape;
  return shape[2] == 1 && shape[3] == 1 && node.attributes.padding == 0;
}

FusedGraph fuse(const Graph& graph) { return Fuser(graph).run(); }

}  // namespace lpn
