// What the functions that crop an image take from Python.
#pragma once

#include <vector>

#include "bindings/arrays.h"
#include "kernels/crop_affine/crop_affine.h"

namespace lpn::bindings {

// The part of the kernel's arguments that all crops of an image share. The image is (H, W, 3) uint8
// whose rows may be padded, pixels being contiguous; it belongs to the caller's array.
CropAffineArgs read_crop_input(const py::array& image, const std::vector<int>& channel_map,
                               const std::vector<double>& scale, const std::vector<double>& shift);

}  // namespace lpn::bindings
