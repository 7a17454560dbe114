// One function per concept; each adds its part of _core.pyi to the module.
#pragma once

#include <pybind11/pybind11.h>

namespace lpn::bindings {

void bind_isa(pybind11::module_& module);
void bind_graph(pybind11::module_& module);
void bind_model(pybind11::module_& module);
void bind_profile(pybind11::module_& module);
void bind_people(pybind11::module_& module);
void bind_ops_conv(pybind11::module_& module);
void bind_ops_attention(pybind11::module_& module);
void bind_ops_decode(pybind11::module_& module);
void bind_ops_crop(pybind11::module_& module);

}  // namespace lpn::bindings
