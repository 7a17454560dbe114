#include "engine/plan/placement.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>

#include "engine/plan/arena.h"

namespace lpn {
namespace {

std::size_t at(int tensor) { return static_cast<std::size_t>(tensor); }

// Types, sizes and lives; the arena for all but the graph's ends.
std::vector<Place> list_places(const OperationGraph& graph, const std::vector<Shape>& shapes) {
  std::vector<Place> places(graph.tensors.size());
  for (std::size_t tensor = 0; tensor < places.size(); ++tensor) {
    places[tensor].type = graph.tensors[tensor].type;
    places[tensor].bytes = shapes[tensor].size() * size_of(places[tensor].type);
  }
  for (std::size_t i = 0; i < graph.operations.size(); ++i) {
    for (const int tensor : graph.operations[i]->writes()) {
      places[at(tensor)].kind = Place::Kind::kArena;
      places[at(tensor)].first = places[at(tensor)].last = static_cast<int>(i);
    }
    for (const int tensor : graph.operations[i]->reads())
      places[at(tensor)].last = static_cast<int>(i);
  }
  places[0].kind = Place::Kind::kInput;
  for (std::size_t i = 0; i < graph.outputs.size(); ++i) {
    places[at(graph.outputs[i])].kind = Place::Kind::kOutput;
    places[at(graph.outputs[i])].output = i;
  }
  return places;
}

}  // namespace

Placement place_tensors(const OperationGraph& graph, const std::vector<Shape>& shapes) {
  std::vector<Place> places = list_places(graph, shapes);

  // Tensors that share a place: each points to the one whose place it takes over.
  std::vector<int> root(places.size());
  std::iota(root.begin(), root.end(), 0);
  std::vector<ArenaItem> spans;
  for (const Place& place : places) spans.push_back({place.bytes, place.first, place.last});
  for (std::size_t i = 0; i < graph.operations.size(); ++i) {
    const std::optional<int> overwritable = graph.operations[i]->overwritable();
    if (!overwritable) continue;
    const int result = graph.operations[i]->writes().front();
    const Place& residual = places[at(*overwritable)];
    const Place& out = places[at(result)];
    const bool dies = residual.last == static_cast<int>(i);
    if (!dies || residual.kind != Place::Kind::kArena || out.kind != Place::Kind::kArena) continue;
    const int shared = root[at(*overwritable)];
    root[at(result)] = shared;
    spans[at(shared)].last = std::max(spans[at(shared)].last, out.last);
  }

  std::vector<ArenaItem> items;
  std::vector<std::size_t> item_of(places.size(), 0);
  for (std::size_t tensor = 0; tensor < places.size(); ++tensor) {
    if (places[tensor].kind != Place::Kind::kArena || root[tensor] != static_cast<int>(tensor))
      continue;
    item_of[tensor] = items.size();
    items.push_back(spans[tensor]);
  }
  const ArenaLayout layout = lay_out(items);
  for (std::size_t tensor = 0; tensor < places.size(); ++tensor) {
    if (places[tensor].kind == Place::Kind::kArena)
      places[tensor].offset = layout.offsets[item_of[at(root[tensor])]];
  }
  return {std::move(places), layout.bytes};
}

}  // namespace lpn
