// Arrays in and out of Python: checked, never converted, never copied unasked.
#pragma once

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/check.h"
#include "engine/graph/tensor.h"

namespace lpn::bindings {

namespace py = pybind11;

// An array argument of one of the operators. Its data belongs to the caller's array.
template <class T>
struct Input {
  const T* data = nullptr;
  std::vector<std::int64_t> shape;

  std::int64_t operator[](std::size_t axis) const { return shape[axis]; }
};

template <class T>
void check_dtype(const py::array& array, const char* name) {
  const py::dtype wanted = py::dtype::of<T>();
  if (!array.dtype().equal(wanted)) {
    throw py::type_error(std::string(name) + " has dtype " +
                         py::str(array.dtype()).cast<std::string>() + "; it must be " +
                         py::str(wanted).cast<std::string>() + " (use .astype)");
  }
}

inline std::vector<std::int64_t> shape_of(const py::array& array) {
  return {array.shape(), array.shape() + array.ndim()};
}

// A C-contiguous array of dtype T whose axes are those of `axes`, e.g. "(N, H, W, C)".
template <class T>
Input<T> read(const py::array& array, const char* name, std::size_t rank, const char* axes) {
  check_dtype<T>(array, name);
  Input<T> input{static_cast<const T*>(array.data()), shape_of(array)};
  LPN_CHECK(input.shape.size() == rank, name, " has shape ", format_shape(input.shape),
            "; it must be ", axes);
  LPN_CHECK((array.flags() & py::array::c_style) != 0, name, " of shape ",
            format_shape(input.shape),
            " is not C-contiguous; pass numpy.ascontiguousarray(...) of it");
  LPN_CHECK((array.flags() & py::detail::npy_api::NPY_ARRAY_ALIGNED_) != 0, name, " of shape ",
            format_shape(input.shape), " begins at an address that is no multiple of ",
            array.itemsize(), " bytes; pass a copy of it, ", name, ".copy()");
  return input;
}

// As above, with the shape known.
template <class T>
Input<T> read(const py::array& array, const char* name, const std::vector<std::int64_t>& shape) {
  const std::string wanted = format_shape(shape);
  Input<T> input = read<T>(array, name, shape.size(), wanted.c_str());
  LPN_CHECK(input.shape == shape, name, " has shape ", format_shape(input.shape), "; it must be ",
            wanted);
  return input;
}

// The data of an optional array, or null for None.
template <class T>
const T* read_optional(const std::optional<py::array>& array, const char* name,
                       const std::vector<std::int64_t>& shape) {
  return array ? read<T>(*array, name, shape).data : nullptr;
}

template <class T>
py::array_t<T> make_array(const char* name, const std::vector<std::int64_t>& shape) {
  checked_size(name, shape);
  return py::array_t<T>(std::vector<py::ssize_t>(shape.begin(), shape.end()));
}

// An activation map of at least one pixel and channel: (N, H, W, C).
inline Input<float> read_map(const py::array& array, const char* name) {
  Input<float> map = read<float>(array, name, 4, "(N, H, W, C)");
  LPN_CHECK(map[1] >= 1 && map[2] >= 1 && map[3] >= 1, name, " has shape ", format_shape(map.shape),
            "; H, W and C must be at least 1");
  checked_size(name, {map[1], map[2], map[3]});  // also of no images: sizes derive from these
  return map;
}

}  // namespace lpn::bindings
