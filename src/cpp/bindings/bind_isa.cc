// Tiers, threads and the list of kernels.
#include <pybind11/stl.h>

#include <cstdint>
#include <map>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "base/bfloat16.h"
#include "base/cpu_features.h"
#include "base/thread_pool.h"
#include "bindings/bindings.h"

namespace lpn::bindings {
namespace {

namespace py = pybind11;

using Variants = std::vector<std::pair<std::string, std::string>>;
using TypedVariants = std::vector<std::pair<std::string, Variants::value_type>>;

template <class T>
std::string element_name() {
  if (std::is_same_v<T, std::uint8_t>) return "u8";
  return std::is_same_v<T, float> ? "f32" : "bf16";
}

// What an operator's name gets for a table of elements other than float32.
template <class T>
std::string types() {
  return std::is_same_v<T, float> ? "" : "_" + element_name<T>();
}
template <class In, class Out>
std::string types() {
  return std::is_same_v<In, Out> ? types<In>() : "_" + element_name<In>() + element_name<Out>();
}

std::map<std::string, Variants> tables_of(const TypedVariants& variants) {
  std::map<std::string, Variants> tables;
  for (const auto& [suffix, variant] : variants) tables[suffix].push_back(variant);
  return tables;
}

// Every kernels.inc once more, as data.
py::dict list_kernels() {
  py::dict kernels;
  const auto add = [&](const std::string& op, const Variants& variants) {
    kernels[py::str(op)] = variants;
  };
  const auto add_typed = [&](const std::string& op, const TypedVariants& variants) {
    for (const auto& [suffix, table] : tables_of(variants)) add(op + suffix, table);
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
  add("matmul", {
#include "kernels/matmul/kernels.inc"
                });
  add("soft_argmax", {
#include "kernels/soft_argmax/kernels.inc"
                     });
#undef LPN_KERNEL
#define LPN_KERNEL(type, name, isa) {types<type>(), {#name, isa_name(Isa::isa)}},
  add_typed("add", {
#include "kernels/add/kernels.inc"
                   });
  add_typed("depthwise", {
#include "kernels/depthwise/kernels.inc"
                         });
  add_typed("fma_peak", {
#include "kernels/fma_peak/kernels.inc"
                        });
  add_typed("max_pool", {
#include "kernels/max_pool/kernels.inc"
                        });
#undef LPN_KERNEL
#define LPN_KERNEL(type, name, isa, panel) {types<type>(), {#name, isa_name(Isa::isa)}},
  add_typed("group_deconv", {
#include "kernels/group_deconv/kernels.inc"
                            });
#undef LPN_KERNEL
#define LPN_KERNEL(in, out, name, isa) {types<in, out>(), {#name, isa_name(Isa::isa)}},
  add_typed("convert", {
#include "kernels/convert/kernels.inc"
                       });
#undef LPN_KERNEL
#define LPN_KERNEL(in, out, name, isa, panel) {types<in, out>(), {#name, isa_name(Isa::isa)}},
  add_typed("conv", {
#include "kernels/conv/kernels.inc"
                    });
  add_typed("pointwise", {
#include "kernels/pointwise/kernels.inc"
                         });
#undef LPN_KERNEL
#define LPN_KERNEL(type, first, second, isa) {types<type>(), {#first, isa_name(Isa::isa)}},
  add_typed("channel_sum", {
#include "kernels/se_gate/kernels.inc"
                           });
  add_typed("gc_pool", {
#include "kernels/gc_pool/kernels.inc"
                       });
#undef LPN_KERNEL
// The second ones read vectors of floats, whatever the map was.
#define LPN_KERNEL(type, first, second, isa) {types<type>(), {#second, isa_name(Isa::isa)}},
  add("gc_transform", tables_of({
#include "kernels/gc_pool/kernels.inc"
                      })[""]);
  add("se_gate", tables_of({
#include "kernels/se_gate/kernels.inc"
                 })[""]);
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
