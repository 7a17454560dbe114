// From a graph's nodes to the operations a plan will run: what is folded into what, independent of
// sizes and of the CPU.
#pragma once

#include <vector>

#include "engine/graph.h"

namespace lpn {

enum class OperationKind {
  kConv,  // dense convolution, with the add and the attention block that follow it in its epilogue
  kDepthwise,  // depthwise convolution; pools its result for an attention block while it writes it
  kConvTranspose,
  kUpsample,  // transposed convolution and the 1x1 convolutions that alone use it, row by row
  kMaxPool,
  kAdd,
  kPool,       // pooling for an attention block, as a pass of its own
  kExcite,     // an attention block's vector for the image, from its pooled partials
  kBroadcast,  // the vector onto every position
};

// Tensors are numbered as the graph's (0 the input, i + 1 node i's output); the partials and
// vectors of attention blocks follow. -1: none.
struct Operation {
  OperationKind kind = OperationKind::kAdd;
  const Node* node = nullptr;  // whose name, weights and attributes these are
  const Node* attention =
      nullptr;  // the gc_block or se_block pooled for, excited, or in the epilogue
  const Node* projection =
      nullptr;  // the 1x1 convolution that the attention block's pooling was moved in front of
  int input = -1;
  int residual = -1;
  int partials = -1;
  int vector = -1;
  int output = -1;
  Activation activation = Activation::kNone;
  std::vector<Operation> stages;  // of kUpsample; `node` is the first one's

  std::vector<int> reads() const;
  std::vector<int> writes() const;
};

struct FusedGraph {
  std::vector<Operation> operations;
  int tensors = 0;
};

// Whether a conv2d node runs channel by channel.
bool is_depthwise(const Node& node);

// Whether a conv2d node is a matrix product over positions: dense, 1x1, no padding.
bool is_pointwise(const Node& node);

FusedGraph fuse(const Graph& graph);

}  // namespace lpn
