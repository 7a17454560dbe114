#include "engine/run/memory.h"

#include <sstream>
#include <string>

#include "base/check.h"
#include "base/memory_limit.h"

namespace lpn {
namespace {

// The largest of a run's parts.
struct Part {
  double bytes = 0;
  std::string what;
};

Part largest_part(const Plan& plan, const Graph& graph, int threads) {
  const std::vector<Shape> shapes = graph.infer_shapes(plan.input().h, plan.input().w);
  Part largest;
  for (std::size_t tensor = 0; tensor < shapes.size(); ++tensor) {
    const Place& place = plan.places()[tensor];
    const auto bytes = static_cast<double>(place.bytes);
    if (place.kind == Place::Kind::kUnused || bytes <= largest.bytes) continue;
    std::ostringstream what;
    if (tensor == 0) {
      what << "the input, " << shapes[tensor];
    } else {
      what << "the output of node \"" << graph.nodes()[tensor - 1].name << "\", " << shapes[tensor];
    }
    largest = {bytes, what.str()};
  }
  for (const auto& step : plan.steps()) {
    const double bytes = static_cast<double>(step->info().scratch_bytes) * threads;
    if (bytes <= largest.bytes) continue;
    std::ostringstream what;
    what << "the rows that node \"" << step->info().name << "\" works on, of " << threads
         << (threads == 1 ? " thread" : " threads");
    largest = {bytes, what.str()};
  }
  return largest;
}

}  // namespace

void check_memory(const Plan& plan, const Graph& graph, int threads, std::int64_t limit) {
  const double bytes = plan.workspace_bytes(threads) + static_cast<double>(plan.output_bytes(0));
  if (bytes <= static_cast<double>(limit)) return;
  const Part largest = largest_part(plan, graph, threads);
  throw_invalid("an input of height ", plan.input().h, " and width ", plan.input().w, " takes ",
                format_bytes(bytes), " of memory, most of it ", largest.what, ", ",
                format_bytes(largest.bytes), "; the limit is ",
                format_bytes(static_cast<double>(limit)), kRaiseMemoryLimit);
}

}  // namespace lpn
