#include "engine/run/run.h"

#include <algorithm>
#include <atomic>
#include <cmath>
#include <cstddef>
#include <deque>

namespace lpn {
namespace {

// Loops that belong to a single thread: what the pool does for a busy caller, without asking it.
struct Inline {
  int threads() const { return 1; }
  template <class Body>
  void parallel_for(std::int64_t chunks, const Body& body) const {
    for (std::int64_t chunk = 0; chunk < chunks; ++chunk) body(chunk, 0);
  }
};

constexpr std::int64_t kPixelChannels = 3;

void convert_rows(const Batch& batch, const Shape& shape, const std::uint8_t* bytes,
                  std::int64_t begin, std::int64_t end, float* out) {
  const std::uint8_t* pixel = bytes + begin * shape.w * kPixelChannels;
  out += begin * shape.w * shape.c;
  const auto channels = static_cast<std::size_t>(shape.c);
  for (std::int64_t i = 0; i < (end - begin) * shape.w; ++i, pixel += kPixelChannels) {
    for (std::size_t c = 0; c < channels; ++c) *out++ = batch.table[c][pixel[batch.channel_map[c]]];
  }
}

// The bytes whose numbers are the nearest to normalised ones.
void convert_to_pixels(const PixelInput& pixels, const float* in, std::int64_t count,
                       std::uint8_t* out) {
  std::fill(out, out + count * kPixelChannels, std::uint8_t{0});
  for (std::int64_t i = 0; i < count; ++i, out += kPixelChannels) {
    for (std::size_t c = 0; c < pixels.channel_map.size(); ++c) {
      const double value = std::nearbyint((*in++ - pixels.shift[c]) / pixels.scale[c]);
      // A NaN is 0.
      out[pixels.channel_map[c]] =
          value > 0 ? static_cast<std::uint8_t>(std::min(value, 255.0)) : std::uint8_t{0};
    }
  }
}

// The input of an image that is not ready for the network, made in the workspace.
template <class Threads>
const void* make_input(const Plan& plan, Workspace& workspace, Threads& threads, const Batch& batch,
                       std::int64_t image) {
  constexpr double kRelativeCost = 32;  // of one table look-up, or one value of a crop
  const Shape& shape = plan.input();
  auto* input = static_cast<std::byte*>(workspace.input(plan));
  const std::int64_t element = size_of(plan.places().front().type);
  const RowChunks rows = cut_rows(shape.h, kRelativeCost * static_cast<double>(shape.size()));
  threads.parallel_for(rows.count(), [&](std::int64_t chunk, int) {
    const std::int64_t begin = rows.begin(chunk);
    const std::int64_t end = rows.end(chunk);
    std::byte* const out = input + begin * shape.w * shape.c * element;
    if (batch.fill) {
      batch.fill(image, begin, end, out);
    } else if (plan.pixels() != nullptr) {
      const float* in = batch.pixels + image * shape.size() + begin * shape.w * shape.c;
      convert_to_pixels(*plan.pixels(), in, (end - begin) * shape.w,
                        reinterpret_cast<std::uint8_t*>(out));
    } else {
      convert_rows(batch, shape, batch.bytes + image * shape.positions() * kPixelChannels, begin,
                   end, reinterpret_cast<float*>(input));
    }
  });
  return input;
}

// Where an image lies that is ready for the network, or is made so.
template <class Threads>
const void* find_input(const Plan& plan, Workspace& workspace, Threads& threads, const Batch& batch,
                       std::int64_t image) {
  const std::int64_t size = plan.input().size();
  if (plan.pixels() == nullptr && batch.pixels != nullptr) return batch.pixels + image * size;
  if (plan.pixels() != nullptr && batch.bytes != nullptr) return batch.bytes + image * size;
  return make_input(plan, workspace, threads, batch, image);
}

// Workspaces on loan, given back last first: the next run then takes the one with the scratch
// first.
struct Leases {
  std::deque<PreparedPlan::Lease> all;

  ~Leases() {
    while (!all.empty()) all.pop_back();
  }
};

// Images [first, first + count), step by step: the chunks of one step of all of them make one loop,
// in which those that share their weights follow each other.
template <class Threads>
bool run_images(PreparedPlan& prepared, Threads& threads, const Batch& batch, std::int64_t first,
                std::int64_t count, const std::vector<void*>& outputs, StepClock* clock) {
  const auto stopped = [&batch] { return batch.stop && batch.stop(); };
  if (stopped()) return false;
  const Plan& plan = prepared.plan();
  Leases leases;
  std::vector<RunContext> contexts;
  std::vector<void*> results(outputs.size());
  for (std::int64_t image = first; image < first + count; ++image) {
    Workspace& workspace = leases.all.emplace_back(prepared).workspace();
    const void* input = find_input(plan, workspace, threads, batch, image);
    for (std::size_t i = 0; i < outputs.size(); ++i) {
      auto* all = static_cast<std::byte*>(outputs[i]);
      results[i] = all == nullptr ? nullptr : all + image * plan.output_bytes(i);
    }
    // Scratch belongs to a thread, whichever image it is at.
    const bool lends_scratch = image == first;
    contexts.push_back(workspace.bind(plan, input, results, lends_scratch ? threads.threads() : 0));
    contexts.back().scratch = contexts.front().scratch;
  }
  if (clock != nullptr) clock->mark();
  for (const std::unique_ptr<const Step>& step : plan.steps()) {
    if (stopped()) return false;
    const Step::Info& info = step->info();
    threads.parallel_for(count * info.chunks, [&](std::int64_t i, int worker) {
      step->run_chunk(contexts[static_cast<std::size_t>(i % count)],
                      chunk_in_order(info, threads.threads(), i / count), worker);
    });
    if (clock != nullptr) clock->mark();
  }
  return true;
}

}  // namespace

const void* find_input(const Plan& plan, Workspace& workspace, const Batch& batch,
                       std::int64_t image) {
  Inline alone;
  return find_input(plan, workspace, alone, batch, image);
}

std::int64_t images_side_by_side(const Plan& plan, int threads, std::int64_t memory_limit) {
  const double spare = static_cast<double>(memory_limit) - plan.workspace_bytes(threads);
  const double fitting = 1 + std::floor(std::max(0.0, spare) / plan.workspace_bytes(0));
  return static_cast<std::int64_t>(
      std::min(fitting, static_cast<double>(std::max(1, threads - 1))));
}

bool run(PreparedPlan& plan, ThreadPool& pool, const Batch& batch,
         const std::vector<void*>& outputs, std::int64_t memory_limit, StepClock* clock) {
  Inline alone;
  const auto limit = static_cast<double>(memory_limit);
  const double one_alone = plan.plan().workspace_bytes(alone.threads());
  const std::int64_t whole =
      one_alone * pool.threads() <= limit ? batch.n - batch.n % pool.threads() : 0;
  std::atomic<bool> finished{true};
  pool.parallel_for(whole, [&](std::int64_t image, int) {
    if (!run_images(plan, alone, batch, image, 1, outputs, clock))
      finished.store(false, std::memory_order_relaxed);
  });
  const std::int64_t together = images_side_by_side(plan.plan(), pool.threads(), memory_limit);
  for (std::int64_t image = whole; finished && image < batch.n; image += together) {
    finished =
        run_images(plan, pool, batch, image, std::min(together, batch.n - image), outputs, clock);
  }
  return finished;
}

}  // namespace lpn
