// How long each step of a plan takes, and how long it would at the CPU's limit.
#pragma once

#include <cstdint>
#include <functional>

#include "base/isa.h"
#include "engine/graph/dtype.h"
#include "engine/run/compiled_model.h"

namespace lpn {

// Runs one image `rounds` times, as any other run. marks: rounds x (steps + 1), the moments in
// seconds of the steady clock at which each step began and the last one ended.
// `stop` as a batch's; returns whether all rounds came to their end.
bool profile(CompiledModel& model, PreparedPlan& plan, const float* pixels, std::int64_t rounds,
             double* marks, const std::function<bool()>& stop);

// As profile, on the calling thread alone. marks: rounds x (chunks of all steps + 1), the moments
// at which each chunk began and the last one ended.
bool profile_chunks(PreparedPlan& plan, const float* pixels, std::int64_t rounds, double* marks,
                    const std::function<bool()>& stop);

// Seconds that a parallel loop takes whose chunks are `steps` steps of fma_peak each: the median of
// the loops, one right after the other, that fit into `seconds`.
double loop_seconds(int threads, std::int64_t chunks, std::int64_t steps, double seconds);

// The multiply-adds of `factors` in registers that `threads` threads together do on a tier, in 10^9
// operations a second (an fma is two): the best of the bursts of about a millisecond that fit into
// `seconds`.
double peak_gflops(Isa isa, int threads, double seconds, DType factors = DType::kF32);

}  // namespace lpn
