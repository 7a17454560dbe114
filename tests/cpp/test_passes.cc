// Each pass alone: from one list of operations to another.
#include <sstream>
#include <string>
#include <utility>

#include "engine/graph/node_kind.h"
#include "engine/ops/add.h"
#include "engine/ops/attention.h"
#include "engine/ops/conv2d.h"
#include "engine/ops/conv_transpose2d.h"
#include "engine/passes/passes.h"
#include "graph_builder.h"
#include "test.h"

namespace lpn {
namespace {

using test::ConvOptions;
using test::GraphBuilder;

std::string name_of(const Operation& operation) {
  if (const auto* conv = dynamic_cast<const Conv*>(&operation)) {
    std::string name = conv->is_pointwise() ? "pointwise" : "conv";
    if (conv->vector) name += conv->vector->use == VectorUse::kBias ? "+bias" : "+scale";
    if (conv->residual) name += "+residual";
    return conv->activation == Activation::kRelu ? name + "+relu" : name;
  }
  if (const auto* depthwise = dynamic_cast<const Depthwise*>(&operation))
    return depthwise->pool == nullptr ? "depthwise" : "depthwise+pool";
  if (dynamic_cast<const ConvTranspose*>(&operation) != nullptr) return "deconv";
  if (const auto* upsample = dynamic_cast<const Upsample*>(&operation))
    return "deconv+" + std::to_string(upsample->projections.size());
  if (dynamic_cast<const Pool*>(&operation) != nullptr) return "pool";
  if (dynamic_cast<const Excite*>(&operation) != nullptr) return "excite";
  if (dynamic_cast<const Broadcast*>(&operation) != nullptr) return "broadcast";
  if (dynamic_cast<const Add*>(&operation) != nullptr) return "add";
  return operation.node->kind->name;
}

// "conv 0>1, add 1 0>2": what is done, what is read and written.
std::string outline(const OperationGraph& graph) {
  std::ostringstream text;
  for (const std::unique_ptr<Operation>& operation : graph.operations) {
    text << (text.tellp() > 0 ? ", " : "") << name_of(*operation);
    for (const int tensor : operation->reads()) text << ' ' << tensor;
    text << '>';
    const char* between = "";
    for (const int tensor : operation->writes()) text << std::exchange(between, " ") << tensor;
  }
  return text.str();
}

void check(const OperationGraph& graph, const std::string& expected, const char* what) {
  const std::string found = outline(graph);
  EXPECT(found == expected, what, ": ", found, "; expected ", expected);
}

ConvOptions spatial(const char* activation = "none") {
  ConvOptions options;
  options.kernel = 3;
  options.padding = 1;
  options.activation = activation;
  return options;
}

ConvOptions activated() {
  ConvOptions options;
  options.activation = "relu";
  return options;
}

}  // namespace

LPN_TEST(passes_start_with_what_the_output_needs) {
  GraphBuilder b(8);
  const std::string x = b.conv("image", 8, 8, {});
  b.conv(x, 8, 8, {});
  const Graph graph = b.finish(b.se_block(b.max_pool(x, 3, 1, 1), 8, 4));
  check(OperationGraph(graph),
        "pointwise 0>1, max_pool2d 1>3, pool 3>5, excite 5>6, broadcast 3 6>4", "no pass");
}

LPN_TEST(pass_folds_attention_into_its_projection) {
  for (const bool gc : {true, false}) {
    GraphBuilder b(8);
    const std::string x = b.conv(b.depthwise("image", 8, spatial()), 8, 12, {});
    const Graph graph = b.finish(gc ? b.gc_block(x, 12, 4) : b.se_block(x, 12, 4));
    check(fold_attention(OperationGraph(graph)),
          std::string("depthwise+pool 0>1 4, excite 4>5, pointwise") + (gc ? "+bias" : "+scale") +
              " 1 5>3",
          gc ? "gc" : "se");
  }
}

LPN_TEST(pass_folds_attention_only_where_nothing_else_reads_the_map) {
  GraphBuilder b(8);
  const std::string x = b.conv("image", 8, 8, {});
  const Graph shared = b.finish(b.add(b.gc_block(x, 8, 4), x, "none"));
  check(fold_attention(OperationGraph(shared)),
        "pointwise 0>1, pool 1>4, excite 4>5, broadcast 1 5>2, add 2 1>3", "shared");
  for (const ConvOptions& options : {activated(), spatial()}) {
    GraphBuilder other(8);
    const std::string y = other.conv("image", 8, 8, options);
    const OperationGraph graph =
        fold_attention(OperationGraph(other.finish(other.gc_block(y, 8, 4))));
    EXPECT(graph.operations.size() == 4, outline(graph));
  }
}

LPN_TEST(pass_pools_a_map_once_while_it_is_written) {
  GraphBuilder b(8);
  const std::string x = b.depthwise("image", 8, spatial());
  const std::string first = b.gc_block(x, 8, 4);
  const Graph graph = b.finish(b.add(first, b.se_block(x, 8, 4), "none"));
  check(fold_attention(OperationGraph(graph)),
        "depthwise+pool 0>1 5, excite 5>6, broadcast 1 6>2, pool 1>7, excite 7>8, "
        "broadcast 1 8>3, add 2 3>4",
        "two blocks");
}

LPN_TEST(pass_fuses_a_sum_into_the_later_convolution) {
  GraphBuilder b(8);
  const std::string x = b.conv("image", 8, 8, {});
  const std::string y = b.conv("image", 8, 8, spatial());
  const Graph graph = b.finish(b.add(y, x, "relu"));
  check(fuse_epilogue(OperationGraph(graph)), "pointwise 0>1, conv+residual+relu 0 1>3", "sum");
}

LPN_TEST(pass_leaves_sums_whose_convolution_is_not_free) {
  {
    GraphBuilder b(8);
    const std::string x = b.conv("image", 8, 8, activated());
    const Graph graph = b.finish(b.add(x, "image", "none"));
    check(fuse_epilogue(OperationGraph(graph)), "pointwise+relu 0>1, add 1 0>2", "activated");
  }
  {
    GraphBuilder b(8);
    const std::string x = b.conv("image", 8, 8, {});
    const Graph graph = b.finish(b.add(x, x, "none"));
    check(fuse_epilogue(OperationGraph(graph)), "pointwise 0>1, add 1 1>2", "read twice");
  }
  {
    GraphBuilder b(8);
    const std::string sum = b.add(b.conv("image", 8, 8, {}), "image", "none");
    const Graph graph = b.finish(b.add(sum, "image", "none"));
    check(fuse_epilogue(OperationGraph(graph)), "pointwise+residual 0 0>2, add 2 0>3",
          "a second sum");
  }
}

LPN_TEST(pass_joins_upsampling_with_what_works_by_rows) {
  ConvOptions deconv = spatial();
  deconv.stride = 2;
  GraphBuilder b(8);
  const std::string x = b.conv_transpose("image", 8, 8, deconv);
  const std::string y = b.conv(b.conv(x, 8, 16, activated()), 16, 4, {});
  const Graph graph = b.finish(b.conv(b.conv_transpose(y, 4, 4, deconv), 4, 4, spatial()));
  check(join_upsampling(OperationGraph(graph)), "deconv+2 0>3, deconv 3>4, conv 4>5", "chain");
}

LPN_TEST(passes_together_make_a_bottleneck_four_steps) {
  GraphBuilder b(8);
  const Graph graph = b.finish(b.bottleneck("image", 8, 8, 1, "gc"));
  check(
      fuse(graph, Precision::kFp32),
      "pointwise+relu 0>1, depthwise+pool 1>2 6, excite 6>7, pointwise+bias+residual+relu 2 0 7>5",
      "bottleneck");
}

}  // namespace lpn
