// One kernel call of a plan, cut into chunks that any thread may run.
#pragma once

#include <algorithm>
#include <cassert>
#include <cstddef>
#include <cstdint>
#include <numeric>
#include <string>
#include <utility>

#include "base/isa.h"
#include "engine/graph/dtype.h"
#include "engine/graph/precision.h"
#include "engine/plan/placement.h"

namespace lpn {

// What a run lends to its steps: every tensor of the image at hand, and one scratch area per
// worker.
struct RunContext {
  const Place* places;
  std::byte* const* tensors;
  std::byte* scratch;
  std::int64_t scratch_stride;  // bytes

  template <class T>
  T* tensor(int id) const {
    assert(places[id].type == DTypeOf<T>::kValue);
    return reinterpret_cast<T*>(tensors[id]);
  }
  template <class T>
  T* scratch_of(int worker) const {
    return reinterpret_cast<T*>(scratch + worker * scratch_stride);
  }
};

// A stretch of packed weights.
struct WeightSpan {
  const void* data = nullptr;
  std::int64_t bytes = 0;
};

class Step {
 public:
  struct Info {
    std::string name;                        // of the graph's node
    std::string kernel;                      // the functions that do the work
    Isa isa = Isa::kScalar;                  // and its tier
    Precision precision = Precision::kFp32;  // of its multiply-adds: which peak they can reach
    std::int64_t chunks = 1;                 // never depends on the number of threads
    // Chunks that are chunks / column_groups apart share their rows.
    std::int64_t column_groups = 1;
    double flops = 0;  // of one image
    double bytes = 0;  // of one image: the least memory traffic, everything moved once
    std::int64_t scratch_bytes = 0;  // per worker
    WeightSpan first_weights;        // what a chunk reads first, worth having in L2 by then
  };

  explicit Step(Info info) : info_(std::move(info)) {}
  virtual ~Step() = default;
  Step(const Step&) = delete;
  Step& operator=(const Step&) = delete;

  const Info& info() const { return info_; }

  // Before the first run: what the next step with weights will read first, for this one's last
  // chunks to fetch.
  void expect(const WeightSpan& next) { next_ = next; }

  // Chunks of one step may run at the same time and in any order.
  virtual void run_chunk(const RunContext& context, std::int64_t chunk, int worker) const = 0;

 protected:
  const WeightSpan& next() const { return next_; }

 private:
  const Info info_;
  WeightSpan next_;
};

// The i-th chunk in an order of which every thread takes an equal stretch: one of rows, as far as
// they divide by the threads, since a thread has in its cache what it wrote in the step before.
// Among the chunks of a stretch those that share their columns, and so their weights, follow each
// other.
inline std::int64_t chunk_in_order(const Step::Info& info, int threads, std::int64_t i) {
  if (info.column_groups == 1) return i;
  const std::int64_t rows = info.chunks / info.column_groups;
  const std::int64_t stretch_rows = rows / std::gcd(rows, static_cast<std::int64_t>(threads));
  const std::int64_t stretch = i / (stretch_rows * info.column_groups);
  const std::int64_t at = i % (stretch_rows * info.column_groups);
  return at / stretch_rows * rows + stretch * stretch_rows + at % stretch_rows;
}

// Rows of a map in equal chunks, the last one shorter.
struct RowChunks {
  std::int64_t rows;
  std::int64_t rows_per_chunk;

  std::int64_t count() const { return (rows + rows_per_chunk - 1) / rows_per_chunk; }
  std::int64_t begin(std::int64_t chunk) const { return chunk * rows_per_chunk; }
  std::int64_t end(std::int64_t chunk) const {
    return std::min(rows, begin(chunk) + rows_per_chunk);
  }
};

// Chunks of `multiple` rows or a multiple of it. `cost` is that of all the rows in floating-point
// operations at the speed of a matrix product: a chunk of 2^20 of them takes a core 5 to 10 us,
// tens of times what handing it out costs, and 32 chunks keep sixteen threads evenly busy.
inline RowChunks cut_rows(std::int64_t rows, double cost, std::int64_t multiple = 1) {
  constexpr double kChunkCost = 1 << 20;
  constexpr double kMaxChunks = 32;
  const double wanted = std::max(1.0, std::min(kMaxChunks, cost / kChunkCost));
  const auto units = static_cast<double>((rows + multiple - 1) / multiple);
  const auto units_per_chunk = static_cast<std::int64_t>((units + wanted - 1) / wanted);
  return {rows, std::min(rows, std::max<std::int64_t>(1, units_per_chunk) * multiple)};
}

}  // namespace lpn
