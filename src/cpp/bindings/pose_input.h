// What the functions of pose/ take from Python, checked.
#pragma once

#include <optional>
#include <vector>

#include "bindings/arrays.h"
#include "pose/crop.h"
#include "pose/decoder.h"
#include "pose/image.h"

namespace lpn::bindings {

// (H, W, 3) uint8 whose rows may be padded, pixels being contiguous.
Image read_image(const py::array& image);

Normalisation read_normalisation(const std::vector<int>& channel_map,
                                 const std::vector<double>& scale,
                                 const std::vector<double>& shift);

DecodeOptions read_decode_options(std::optional<double> beta, bool quarter_step);

}  // namespace lpn::bindings
