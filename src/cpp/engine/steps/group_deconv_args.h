// What every step that runs a transposed convolution needs of it.
#pragma once

#include "engine/step_builder.h"
#include "kernels/group_deconv/group_deconv.h"

namespace lpn {

// Everything but the pointers and the rows.
GroupDeconvArgs group_deconv_args(const Operation& operation, StepBuilder& builder);

double group_deconv_flops(const Operation& operation, const StepBuilder& builder);

}  // namespace lpn
