#include "base/stored_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <system_error>

namespace lpn {
StoredFile::StoredFile(int descriptor, std::string name)
    : name_(std::move(name)), descriptor_(fcntl(descriptor, F_DUPFD_CLOEXEC, 0)) {
  struct stat status{};
  if (descriptor_ < 0 || fstat(descriptor_, &status) != 0) {
    const int error = errno;
    if (descriptor_ >= 0) close(descriptor_);
    throw std::system_error(error, std::generic_category(), name_);
  }
  size_ = status.st_size;
}

StoredFile::~StoredFile() { close(descriptor_); }

void StoredFile::read(std::int64_t offset, std::int64_t bytes, void* out) const {
  constexpr std::int64_t kMost = std::int64_t{1} << 30;  // Linux reads less than 2 GiB at once
  auto* to = static_cast<char*>(out);
  while (bytes > 0) {
    const auto wanted = static_cast<std::size_t>(std::min(bytes, kMost));
    const ssize_t got = pread(descriptor_, to, wanted, offset);
    if (got == 0) throw_changed();
    if (got < 0 && errno == EINTR) continue;
    if (got < 0) throw std::system_error(errno, std::generic_category(), name_);
    to += got;
    offset += got;
    bytes -= got;
  }
}

void StoredFile::throw_changed() const {
  throw std::system_error(ESTALE, std::generic_category(),
                          name_ + " was written to after it was loaded; load it again");
}

}  // namespace lpn
