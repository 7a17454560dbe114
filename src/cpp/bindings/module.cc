// lpn_core._core; python/lpn_core/_core.pyi is its mirror.
#include "bindings/bindings.h"

PYBIND11_MODULE(_core, module) {
  using namespace lpn::bindings;
  module.doc() = "The compiled part of lpn_core: see _core.pyi.";
  module.attr("__version__") = LPN_VERSION;
  bind_isa(module);
  bind_files(module);  // before what takes files
  bind_graph(module);
  bind_model(module);
  bind_profile(module);
  bind_people(module);
  bind_drawing(module);
  bind_ops_conv(module);
  bind_ops_attention(module);
  bind_ops_decode(module);
  bind_ops_crop(module);
}
