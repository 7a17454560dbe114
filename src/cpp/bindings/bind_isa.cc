// Tiers, threads and the list of kernels.
#include <pybind11/stl.h>

#include <string>
#include <utility>
#include <vector>

#include "base/cpu_features.h"
#include "base/thread_pool.h"
#include "bindings/bindings.h"
#include "engine/graph/dtype.h"

namespace lpn::bindings {
namespace {

namespace py = pybind11;

using Variants = std::vector<std::pair<std::string, std::string>>;
using TypedVariants = std::vector<std::pair<DType, Variants::value_type>>;

Variants of_type(DType type, const TypedVariants& variants) {
  Variants chosen;
  for (const auto& [elements, variant] : variants) {
    if (elements == type) chosen.push_back(variant);
  }
  return chosen;
}

// Every kernels.inc once more, as data.
py::dict list_kernels() {
  py::dict kernels;
  const auto add = [&](const std::string& op, const Variants& variants) {
    kernels[py::str(op)] = variants;
  };
  // Of bfloat16 elements as an operator of its own.
  const auto add_typed = [&](const std::string& op, const TypedVariants& variants) {
    add(op, of_type(DType::kF32, variants));
    add(op + "_bf16", of_type(DType::kBf16, variants));
  };
#define LPN_KERNEL(name, isa) {#name, isa_name(Isa::isa)},
  add("argmax", {
#include "kernels/argmax/kernels.inc"
                });
  add("crc32c", {
#include "kernels/crc32c/kernels.inc"
                });
  add("crop_affine", {
#include "kernels/crop_affine/kernels.inc"
                     });
  add("fma_peak", {
#include "kernels/fma_peak/kernels.inc"
                  });
  add("matmul", {
#include "kernels/matmul/kernels.inc"
                });
  add("soft_argmax", {
#include "kernels/soft_argmax/kernels.inc"
                     });
#undef LPN_KERNEL
#define LPN_KERNEL(type, name, isa) {DTypeOf<type>::kValue, {#name, isa_name(Isa::isa)}},
  add_typed("depthwise", {
#include "kernels/depthwise/kernels.inc"
                         });
  add_typed("max_pool", {
#include "kernels/max_pool/kernels.inc"
                        });
#undef LPN_KERNEL
#define LPN_KERNEL(type, name, isa, panel) {DTypeOf<type>::kValue, {#name, isa_name(Isa::isa)}},
  add_typed("group_deconv", {
#include "kernels/group_deconv/kernels.inc"
                            });
#undef LPN_KERNEL
#define LPN_KERNEL(name, isa, panel) {#name, isa_name(Isa::isa)},
  add("conv", {
#include "kernels/conv/kernels.inc"
              });
  add("pointwise", {
#include "kernels/pointwise/kernels.inc"
                   });
#undef LPN_KERNEL
#define LPN_KERNEL(type, first, second, isa) {DTypeOf<type>::kValue, {#first, isa_name(Isa::isa)}},
  add_typed("channel_sum", {
#include "kernels/se_gate/kernels.inc"
                           });
  add_typed("gc_pool", {
#include "kernels/gc_pool/kernels.inc"
                       });
#undef LPN_KERNEL
// The second ones read vectors of floats, whatever the map was.
#define LPN_KERNEL(type, first, second, isa) {DTypeOf<type>::kValue, {#second, isa_name(Isa::isa)}},
  add("gc_transform", of_type(DType::kF32, {
#include "kernels/gc_pool/kernels.inc"
                                           }));
  add("se_gate", of_type(DType::kF32, {
#include "kernels/se_gate/kernels.inc"
                                      }));
#undef LPN_KERNEL
  return kernels;
}

}  // namespace

void bind_isa(py::module_& module) {
  module.def("supported_isas", [] {
    std::vector<std::string> names;
    for (const Isa isa : supported_isas()) names.emplace_back(isa_name(isa));
    return names;
  });
  module.def("default_isa", [] { return isa_name(default_isa()); });
  module.def("default_threads", &default_threads);
  module.def("kernels", &list_kernels);
}

}  // namespace lpn::bindings
