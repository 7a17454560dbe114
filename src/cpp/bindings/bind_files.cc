// Files whose parts are read when they are wanted.
#include <memory>
#include <string>
#include <system_error>

#include "base/check.h"
#include "base/stored_file.h"
#include "bindings/bindings.h"
#include "bindings/without_gil.h"

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
}

}  // namespace lpn::bindings
