// Files whose parts are read when they are wanted.
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <system_error>

#include "base/check.h"
#include "base/cpu_features.h"
#include "bindings/bindings.h"
#include "bindings/without_gil.h"
#include "engine/graph/stored_part.h"
#include "kernels/crc32c/crc32c.h"

namespace lpn::bindings {
namespace {

namespace py = pybind11;

std::shared_ptr<StoredPart> make_part(const std::shared_ptr<StoredFile>& file, std::int64_t begin,
                                      std::int64_t end) {
  LPN_CHECK(0 <= begin && begin <= end && end <= file->size(), "begin is ", begin, " and end ", end,
            "; both must lie within the file's ", file->size(), " bytes, in this order");
  return std::make_shared<StoredPart>(file, begin, end - begin);
}

py::bytes read_part(const StoredPart& part) {
  const auto size = static_cast<py::ssize_t>(part.bytes());
  auto bytes = py::reinterpret_steal<py::bytes>(PyBytes_FromStringAndSize(nullptr, size));
  if (!bytes) throw py::error_already_set();
  char* const out = PyBytes_AS_STRING(bytes.ptr());
  {
    const WithoutGil released;
    part.read(out);
  }
  return bytes;
}

std::uint32_t crc32c_of_buffer(std::uint32_t before, const py::handle& owner,
                               const Variant<Crc32cFn>& variant) {
  Py_buffer view{};
  if (PyObject_GetBuffer(owner.ptr(), &view, PyBUF_SIMPLE) != 0) throw py::error_already_set();
  std::uint32_t crc = 0;
  {
    const WithoutGil released;
    crc = variant.run({before, static_cast<const unsigned char*>(view.buf), view.len});
  }
  PyBuffer_Release(&view);
  return crc;
}

// Of buffers and stored parts, one after the other. A tuple: its items stay while others run.
std::uint32_t crc32c(const py::tuple& parts, const std::optional<std::string>& isa) {
  const auto& variant = select_crc32c(isa ? parse_isa(*isa) : cpu_features());
  std::uint32_t crc = 0;
  for (const py::handle& part : parts) {
    if (py::isinstance<StoredPart>(part)) {
      const auto& stored = part.cast<const StoredPart&>();
      const WithoutGil released;
      crc = join_crc32c(crc, stored.checksum(), stored.bytes());
    } else {
      crc = crc32c_of_buffer(crc, part, variant);
    }
  }
  return crc;
}

// OSError, as Python's own files raise it.
void raise_os_error(std::exception_ptr error) {
  try {
    if (error) std::rethrow_exception(error);
  } catch (const std::system_error& system) {
    const py::tuple arguments = py::make_tuple(system.code().value(), system.what());
    PyErr_SetObject(PyExc_OSError, arguments.ptr());
  }
}

}  // namespace

void bind_files(py::module_& module) {
  py::register_local_exception_translator(&raise_os_error);
  py::class_<StoredFile, std::shared_ptr<StoredFile>>(module, "StoredFile")
      .def(py::init<int, std::string>(), py::arg("descriptor"), py::arg("name"))
      .def_property_readonly("size", &StoredFile::size);
  py::class_<StoredPart, std::shared_ptr<StoredPart>>(module, "StoredPart")
      .def(py::init(&make_part), py::arg("file"), py::arg("begin"), py::arg("end"))
      .def_property_readonly("size", &StoredPart::bytes)
      .def("read", &read_part);
  module.def("crc32c", &crc32c, py::arg("parts"), py::arg("isa") = py::none());
}

}  // namespace lpn::bindings
