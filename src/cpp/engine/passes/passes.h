// Rewrites of a graph of operations that compute the same with less memory traffic. Each takes
// time in proportion to the operations.
#pragma once

#include "engine/graph/operation.h"
#include "engine/graph/precision.h"

namespace lpn {

// Pooling moves into the depthwise convolution that writes the map, or else stays a pass of its
// own. Where a 1x1 convolution alone feeds an attention block, the block pools that convolution's
// input instead (pooling commutes with it; attention_weights.h), and the block's vector joins the
// convolution's epilogue.
OperationGraph fold_attention(OperationGraph graph);

// A sum moves into the epilogue of the dense convolution that alone feeds one of its sides; of two
// such, the later one, so that the other side is there already.
OperationGraph fuse_epilogue(OperationGraph graph);

// A transposed convolution and the 1x1 convolutions that alone read its result, one after the
// other, become one operation that works row by row.
OperationGraph join_upsampling(OperationGraph graph);

// Maps between operations become what the precision computes in, wherever each operation that
// reads or writes them takes that. The graph's input, its outputs and the vectors of attention
// blocks stay float32.
OperationGraph choose_types(OperationGraph graph, Precision precision);

// What an operation only copies into channels of its result is written there in the first place,
// where everyone who writes or reads it takes a row stride; an operation with nothing left to copy
// goes.
OperationGraph elide_copies(OperationGraph graph);

// A graph's operations after all passes, in this order.
OperationGraph fuse(const Graph& graph, Precision precision);

}  // namespace lpn
