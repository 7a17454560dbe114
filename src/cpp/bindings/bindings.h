// One function per concept; each adds its part of _core.pyi to the module.
#pragma once

#include <pybind11/pybind11.h>

#include "base/float_environment.h"

namespace lpn::bindings {

// For every function that computes with floating-point numbers. It acts after the arguments are
// converted and before the result is; single numbers come in as double, which rounds nothing.
using DefaultFloats = pybind11::call_guard<DefaultFloatEnvironment>;

void bind_isa(pybind11::module_& module);
void bind_files(pybind11::module_& module);
void bind_graph(pybind11::module_& module);
void bind_model(pybind11::module_& module);
void bind_profile(pybind11::module_& module);
void bind_people(pybind11::module_& module);
void bind_drawing(pybind11::module_& module);
void bind_ops_conv(pybind11::module_& module);
void bind_ops_attention(pybind11::module_& module);
void bind_ops_decode(pybind11::module_& module);
void bind_ops_crop(pybind11::module_& module);

}  // namespace lpn::bindings
