#include "engine/graph/node_kind.h"

#include "base/check.h"

namespace lpn {

#define LPN_NODE_KIND(kind) NodeKind kind##_kind();
#include "engine/ops/node_kinds.inc"
#undef LPN_NODE_KIND

const std::vector<NodeKind>& node_kinds() {
  static const std::vector<NodeKind> kinds{
#define LPN_NODE_KIND(kind) kind##_kind(),
#include "engine/ops/node_kinds.inc"
#undef LPN_NODE_KIND
  };
  return kinds;
}

const NodeKind& find_node_kind(const std::string& kind, const std::string& node) {
  std::string known;
  for (const NodeKind& candidate : node_kinds()) {
    if (kind == candidate.name) return candidate;
    known += std::string(known.empty() ? "" : ", ") + candidate.name;
  }
  throw_invalid("node \"", node, "\": kind \"", kind, "\" is not known; this version knows ",
                known);
}

std::string describe(const Node& node) {
  return std::string("node \"") + node.name + "\" (" + node.kind->name + ")";
}

void check_weight(const Node& node, const char* name, const std::vector<std::int64_t>& wanted,
                  std::int64_t channels) {
  const auto found = node.weights.find(name);
  if (found == node.weights.end()) return;  // optional; the required ones were checked
  LPN_CHECK(found->second.shape == wanted, describe(node), ": weight \"", name, "\" has shape ",
            format_shape(found->second.shape), "; it must be ", format_shape(wanted),
            " for an input of ", channels, " channels");
}

Shape same_shape(const Node&, const std::vector<Shape>& inputs, std::int64_t) { return inputs[0]; }

}  // namespace lpn
