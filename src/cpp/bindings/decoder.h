// How a heatmap is decoded, as Python's callers say it.
#pragma once

#include <optional>

#include "base/cpu_features.h"
#include "engine/heatmaps.h"

namespace lpn::bindings {

// The soft-argmax kernel of an ISA for maps of this size, or without `beta` the argmax kernel.
HeatmapDecoder make_decoder(Isa isa, const Heatmaps& maps, std::optional<double> beta,
                            bool quarter_step);

}  // namespace lpn::bindings
