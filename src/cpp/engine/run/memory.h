// Whether the memory that a plan needs is there.
#pragma once

#include <cstdint>

#include "engine/graph/graph.h"
#include "engine/plan/plan.h"

namespace lpn {

// Throws std::invalid_argument when one image's run by `threads` threads would take more than
// `limit` bytes; the message names the node that asks for most. `plan` was made of `graph`.
void check_memory(const Plan& plan, const Graph& graph, int threads, std::int64_t limit);

}  // namespace lpn
