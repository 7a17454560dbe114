#include "engine/run/profile.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cstddef>
#include <memory>
#include <thread>
#include <vector>

#include "base/float_environment.h"
#include "base/thread_pool.h"
#include "engine/run/step_clock.h"
#include "kernels/fma_peak/fma_peak.h"

namespace lpn {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

template <class T>
double peak_of(Isa isa, int threads, double seconds) {
  // About 10 us at 100 GFLOP/s: a hundred times what handing out a chunk costs. A burst ends when
  // the slowest thread does, up to one of its chunks after the others: 1%.
  constexpr std::int64_t kStepsPerChunk = 1 << 12;
  constexpr std::int64_t kChunksPerThread = 100;
  // Two threads may share a CPU for as long as both keep running; after a pause in which they
  // sleep, each is given one anew.
  constexpr int kBurstsPerRound = 8;
  constexpr std::chrono::milliseconds kPause{1};
  const FmaPeakFn<T> run = select_fma_peak<T>(isa).run;
  std::array<float, kFmaPeakValues> start;
  for (std::size_t i = 0; i < start.size(); ++i) start[i] = static_cast<float>(i + 1);
  ThreadPool pool(threads);
  const std::int64_t chunks = threads * kChunksPerThread;
  const double flops = fma_peak_flops<T>(kStepsPerChunk) * static_cast<double>(chunks);
  double best = 0;
  const Clock::time_point begin = Clock::now();
  do {
    for (int i = 0; i < kBurstsPerRound; ++i) {
      const Clock::time_point burst = Clock::now();
      pool.parallel_for(chunks, [&](std::int64_t, int) {
        std::array<float, kFmaPeakValues> end;
        run({start.data(), 0.5f, 1.0f, kStepsPerChunk, end.data()});
      });
      best = std::max(best, flops / seconds_since(burst));
    }
    if (threads > 1) std::this_thread::sleep_for(kPause);
  } while (seconds_since(begin) < seconds);
  return best * 1e-9;
}

}  // namespace

bool profile(CompiledModel& model, PreparedPlan& plan, const float* pixels, std::int64_t rounds,
             double* marks, const std::function<bool()>& stop) {
  const std::vector<void*> unwanted(plan.plan().outputs().size(), nullptr);
  Batch batch;
  batch.n = 1;
  batch.pixels = pixels;
  batch.stop = stop;
  StepClock clock(marks);
  for (std::int64_t round = 0; round < rounds; ++round)
    if (!model.run(plan, batch, unwanted, &clock)) return false;
  return true;
}

bool profile_chunks(PreparedPlan& plan, const float* pixels, std::int64_t rounds, double* marks,
                    const std::function<bool()>& stop) {
  const DefaultFloatEnvironment environment;
  const std::vector<void*> unwanted(plan.plan().outputs().size(), nullptr);
  PreparedPlan::Lease lease(plan);
  Batch batch;
  batch.n = 1;
  batch.pixels = pixels;
  const void* const input = find_input(plan.plan(), lease.workspace(), batch, 0);
  const RunContext context = lease.workspace().bind(plan.plan(), input, unwanted, 1);
  StepClock clock(marks);
  for (std::int64_t round = 0; round < rounds; ++round) {
    if (stop && stop()) return false;
    clock.mark();
    for (const std::unique_ptr<const Step>& step : plan.plan().steps()) {
      for (std::int64_t chunk = 0; chunk < step->info().chunks; ++chunk) {
        step->run_chunk(context, chunk, 0);
        clock.mark();
      }
    }
  }
  return true;
}

double loop_seconds(int threads, std::int64_t chunks, std::int64_t steps, double seconds) {
  const FmaPeakFn<float> run = select_fma_peak<float>(Isa::kScalar).run;
  const std::array<float, kFmaPeakValues> start{};
  ThreadPool pool(threads);
  std::vector<double> times;
  const Clock::time_point begin = Clock::now();
  do {
    const Clock::time_point loop = Clock::now();
    pool.parallel_for(chunks, [&](std::int64_t, int) {
      std::array<float, kFmaPeakValues> end;
      run({start.data(), 0.5f, 1.0f, steps, end.data()});
    });
    times.push_back(seconds_since(loop));
  } while (seconds_since(begin) < seconds);
  const auto middle = times.begin() + static_cast<std::ptrdiff_t>(times.size() / 2);
  std::nth_element(times.begin(), middle, times.end());
  return *middle;
}

double peak_gflops(Isa isa, int threads, double seconds, DType factors) {
  return with_any_elements(
      factors, [&](auto zero) { return peak_of<decltype(zero)>(isa, threads, seconds); });
}

}  // namespace lpn
