// Graph: nodes from Python's mappings.
#include <pybind11/stl.h>

#include <cstring>
#include <map>
#include <memory>
#include <utility>

#include "bindings/arrays.h"
#include "bindings/bindings.h"
#include "engine/graph/graph.h"
#include "engine/graph/node_kind.h"

namespace lpn::bindings {
namespace {

AttributeValue read_attribute(const std::string& node, const std::string& name,
                              const py::handle& value) {
  if (py::isinstance<py::int_>(value) && !py::isinstance<py::bool_>(value)) {
    int overflow = 0;
    const std::int64_t number = PyLong_AsLongLongAndOverflow(value.ptr(), &overflow);
    LPN_CHECK(overflow == 0, "node \"", node, "\": attribute \"", name, "\" is ",
              py::str(value).cast<std::string>(), "; it does not fit in 64 bits");
    return number;
  }
  if (py::isinstance<py::float_>(value)) return value.cast<double>();
  if (py::isinstance<py::str>(value)) return value.cast<std::string>();
  throw py::type_error("node \"" + node + "\": attribute \"" + name + "\" is a " +
                       py::str(py::type::handle_of(value).attr("__name__")).cast<std::string>() +
                       "; it must be an int, a float or a str");
}

// The array's memory for as long as the engine wants it; given back on whichever thread that is.
template <class T>
std::shared_ptr<const T> hold(const py::array& array) {
  auto* reference = new py::object(array);
  return {static_cast<const T*>(array.data()), [reference](const T*) {
            const py::gil_scoped_acquire gil;
            delete reference;
          }};
}

// Whether nobody can write the array's memory any more: it is that of a bytes object, and neither
// the array nor a view in between is writable. Whoever owns a read-only array can make it writable
// again.
bool is_immutable(py::handle owner) {
  while (owner) {
    if (py::isinstance<py::array>(owner)) {
      const auto array = py::reinterpret_borrow<py::array>(owner);
      if (array.writeable()) return false;
      owner = array.base();  // which the array holds
    } else if (PyMemoryView_Check(owner.ptr())) {
      if (PyMemoryView_GET_BUFFER(owner.ptr())->readonly == 0) return false;
      owner = PyMemoryView_GET_BASE(owner.ptr());
    } else {
      return PyBytes_CheckExact(owner.ptr());
    }
  }
  return false;
}

// What anybody may still write is copied.
template <class T>
std::shared_ptr<const WeightValues> take(const py::array& array) {
  const auto size = static_cast<std::size_t>(array.size());
  if (is_immutable(array)) return std::make_shared<const WeightValues>(hold<T>(array), size);
  const auto copy = std::make_shared<Buffer<T>>(size);
  if (size > 0) std::memcpy(copy->data(), array.data(), size * sizeof(T));
  return std::make_shared<const WeightValues>(std::shared_ptr<const T>(copy, copy->data()), size);
}

// A weight that stays in its file.
struct StoredWeight {
  DType type;
  std::vector<std::int64_t> shape;
  std::shared_ptr<const StoredPart> part;
};

StoredWeight make_stored_weight(const std::shared_ptr<StoredPart>& part, const std::string& dtype,
                                std::vector<std::int64_t> shape) {
  LPN_CHECK(dtype == "F32" || dtype == "BF16", "dtype is \"", dtype, "\"; it must be F32 or BF16");
  LPN_CHECK(shape.size() >= 2, "shape ", format_shape(shape), " must have at least two axes");
  const DType type = dtype == "F32" ? DType::kF32 : DType::kBf16;
  const std::int64_t bytes = checked_size("a stored weight", shape) * size_of(type);
  LPN_CHECK(part->bytes() == bytes, "part has ", part->bytes(), " bytes; ", dtype, ' ',
            format_shape(shape), " takes ", bytes);
  return {type, std::move(shape), part};
}

// A float32 array, the bits of bfloat16 numbers as uint16, or either in a file. Steps keep pointers
// to vectors, such as biases, which therefore must be float32 in memory.
Weight read_weight(const std::string& node, const std::string& name, const py::handle& value) {
  const std::string what = "node \"" + node + "\": weight \"" + name + "\"";
  if (py::isinstance<StoredWeight>(value)) {
    const auto& stored = value.cast<const StoredWeight&>();
    return {stored.shape, std::make_shared<const WeightValues>(stored.type, stored.part)};
  }
  if (!py::isinstance<py::array>(value)) throw py::type_error(what + " must be a numpy array");
  const auto array = py::reinterpret_borrow<py::array>(value);
  const auto rank = static_cast<std::size_t>(array.ndim());
  if (rank >= 2 && array.dtype().equal(py::dtype::of<std::uint16_t>())) {
    return {read<std::uint16_t>(array, what.c_str(), rank, "").shape, take<Bfloat16>(array)};
  }
  return {read<float>(array, what.c_str(), rank, "").shape, take<float>(array)};
}

void add_node(Graph& graph, const std::string& kind, const std::string& name,
              const std::vector<std::string>& inputs, const py::object& attributes,
              const py::object& weights) {
  std::map<std::string, AttributeValue> attribute_values;
  for (const auto& [key, value] : py::dict(attributes)) {
    const auto attribute = key.cast<std::string>();
    attribute_values.emplace(attribute, read_attribute(name, attribute, value));
  }
  std::map<std::string, Weight> weight_values;
  for (const auto& [key, value] : py::dict(weights)) {
    const auto weight = key.cast<std::string>();
    weight_values.emplace(weight, read_weight(name, weight, value));
  }
  graph.add_node(kind, name, inputs, attribute_values, std::move(weight_values));
}

void set_quantization(Graph& graph, const std::string& tensor, double scale,
                      std::int32_t zero_point) {
  graph.set_quantization(tensor, {static_cast<float>(scale), zero_point});
}

void set_pixels(Graph& graph, std::vector<int> channel_map, std::vector<double> scale,
                std::vector<double> shift) {
  graph.set_pixels({std::move(channel_map), std::move(scale), std::move(shift)});
}

py::dict list_shapes(const Graph& graph, std::int64_t height, std::int64_t width) {
  graph.check_complete();
  py::dict named;
  const std::vector<Shape> shapes = graph.infer_shapes(height, width);
  for (const auto& [name, tensor] : graph.tensor_numbers()) {
    const Shape& shape = shapes[static_cast<std::size_t>(tensor)];
    named[py::str(name)] = py::make_tuple(shape.h, shape.w, shape.c);
  }
  return named;
}

const char* type_name(AttributeType type) {
  switch (type) {
    case AttributeType::kInteger:
      return "int";
    case AttributeType::kNumber:
      return "float";
    case AttributeType::kActivation:
      return "activation";
  }
  return "";
}

// The registry as plain data.
py::dict list_node_kinds() {
  py::dict kinds;
  for (const NodeKind& kind : node_kinds()) {
    py::dict attributes;
    for (const AttributeSchema& attribute : kind.attributes)
      attributes[attribute.name] = type_name(attribute.type);
    py::dict weights;
    for (const WeightSchema& weight : kind.weights)
      weights[weight.name] = py::make_tuple(weight.rank, weight.optional);
    const bool any = kind.max_inputs == NodeKind::kAnyNumber;
    const py::object most = any ? py::object(py::none()) : py::int_(kind.max_inputs);
    py::dict entry;
    entry["inputs"] = py::make_tuple(kind.min_inputs, most);
    entry["attributes"] = attributes;
    entry["weights"] = weights;
    kinds[kind.name] = entry;
  }
  return kinds;
}

}  // namespace

void bind_graph(py::module_& module) {
  py::class_<StoredWeight>(module, "StoredWeight")
      .def(py::init(&make_stored_weight), py::arg("part"), py::arg("dtype"), py::arg("shape"));
  module.def("node_kinds", &list_node_kinds);
  py::class_<Graph>(module, "Graph")
      .def(py::init<>())
      .def("add_input", &Graph::add_input, py::arg("name"), py::arg("channels"))
      .def("add_node", &add_node, py::arg("kind"), py::arg("name"), py::arg("inputs"),
           py::arg("attributes"), py::arg("weights"))
      .def("add_output", &Graph::add_output, py::arg("name"))
      .def("set_quantization", &set_quantization, py::arg("tensor"), py::arg("scale"),
           py::arg("zero_point"))
      .def("keep_float", &Graph::keep_float, py::arg("node"))
      .def("set_pixels", &set_pixels, py::arg("channel_map"), py::arg("scale"), py::arg("shift"))
      .def("shapes", &list_shapes, py::arg("height"), py::arg("width"));
}

}  // namespace lpn::bindings
