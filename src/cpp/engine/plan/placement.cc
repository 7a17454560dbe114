#include "engine/plan/placement.h"

#include <algorithm>
#include <memory>
#include <numeric>
#include <optional>

#include "engine/plan/arena.h"

namespace lpn {
namespace {

std::size_t at(int tensor) { return static_cast<std::size_t>(tensor); }

// Types, sizes and lives, a container's from the first of what lies in it to the last; the arena
// for all but the graph's ends.
std::vector<Place> list_places(const OperationGraph& graph, const std::vector<Shape>& shapes) {
  std::vector<Place> places(graph.tensors.size());
  for (std::size_t tensor = 0; tensor < places.size(); ++tensor) {
    Place& place = places[tensor];
    place.type = graph.tensors[tensor].type;
    place.bytes = shapes[tensor].size() * size_of(place.type);
    place.container = graph.container(static_cast<int>(tensor));
  }
  const auto live = [&](int tensor, std::size_t operation) {
    for (const int lives : {tensor, graph.container(tensor)}) {
      Place& place = places[at(lives)];
      if (place.kind == Place::Kind::kUnused) place.first = static_cast<int>(operation);
      place.kind = Place::Kind::kArena;
      place.last = static_cast<int>(operation);
    }
  };
  for (std::size_t i = 0; i < graph.operations.size(); ++i) {
    for (const int tensor : graph.operations[i]->writes()) live(tensor, i);
    for (const int tensor : graph.operations[i]->reads()) live(tensor, i);
  }
  places[0].kind = Place::Kind::kInput;
  for (std::size_t i = 0; i < graph.outputs.size(); ++i) {
    places[at(graph.outputs[i])].kind = Place::Kind::kOutput;
    places[at(graph.outputs[i])].output = i;
  }
  return places;
}

// Whether the operation's result may take the place of what it overwrites: of a tensor that has a
// place of its own, and that nothing reads any more, not even as a part of another input.
bool takes_place(const Operation& operation, int overwritten, int index,
                 const std::vector<Place>& places) {
  const int result = operation.writes().front();
  for (const int tensor : {overwritten, result}) {
    const Place& place = places[at(tensor)];
    if (place.kind != Place::Kind::kArena || place.container != tensor) return false;
  }
  const std::vector<int> reads = operation.reads();
  const auto inside = std::count_if(reads.begin(), reads.end(), [&](int tensor) {
    return places[at(tensor)].container == overwritten;
  });
  return inside == 1 && places[at(overwritten)].last == index;
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
    const Operation& operation = *graph.operations[i];
    const std::optional<int> overwritten = operation.overwritable();
    if (!overwritten || !takes_place(operation, *overwritten, static_cast<int>(i), places))
      continue;
    const int result = operation.writes().front();
    const int shared = root[at(*overwritten)];
    root[at(result)] = shared;
    spans[at(shared)].last = std::max(spans[at(shared)].last, places[at(result)].last);
  }

  std::vector<ArenaItem> items;
  std::vector<std::size_t> item_of(places.size(), 0);
  for (std::size_t tensor = 0; tensor < places.size(); ++tensor) {
    const Place& place = places[tensor];
    if (place.kind != Place::Kind::kArena || place.container != static_cast<int>(tensor) ||
        root[tensor] != static_cast<int>(tensor))
      continue;
    item_of[tensor] = items.size();
    items.push_back(spans[tensor]);
  }
  const ArenaLayout layout = lay_out(items);
  for (std::size_t tensor = 0; tensor < places.size(); ++tensor) {
    Place& place = places[tensor];
    const Place& container = places[at(place.container)];
    place.kind = container.kind;
    place.output = container.output;
    if (place.kind == Place::Kind::kArena)
      place.offset = layout.offsets[item_of[at(root[at(place.container)])]];
    place.offset += graph.tensors[tensor].channel * size_of(place.type);
  }
  return {std::move(places), layout.bytes};
}

}  // namespace lpn
