#include "base/stored_file.h"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <system_error>

namespace lpn {
namespace {

// Not zero. Four lanes, as one multiplication waits for the one before it: as fast as memory.
std::uint64_t fingerprint(const unsigned char* data, std::size_t size) {
  constexpr std::uint64_t kPrime = 0x9e3779b97f4a7c15;
  constexpr std::size_t kLanes = 4;
  std::uint64_t lanes[kLanes] = {1, 2, 3, 4};
  const auto mix = [](std::uint64_t lane, std::uint64_t word) {
    const std::uint64_t product = (lane ^ word) * kPrime;
    return product ^ (product >> 29);
  };
  constexpr std::size_t kBlock = kLanes * sizeof(std::uint64_t);
  for (; size >= kBlock; data += kBlock, size -= kBlock) {
    std::uint64_t words[kLanes];
    std::memcpy(words, data, kBlock);
    for (std::size_t lane = 0; lane < kLanes; ++lane) lanes[lane] = mix(lanes[lane], words[lane]);
  }
  std::uint64_t result = size;
  for (; size > 0; ++data, --size) result = mix(result, *data);
  for (const std::uint64_t lane : lanes) result = mix(result, lane);
  return result | 1;
}

}  // namespace

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

void StoredPart::read(void* out) const {
  file_->read(offset_, bytes_, out);
  const std::uint64_t found =
      fingerprint(static_cast<const unsigned char*>(out), static_cast<std::size_t>(bytes_));
  std::uint64_t first = 0;
  if (!seen_.compare_exchange_strong(first, found, std::memory_order_relaxed) && first != found)
    file_->throw_changed();
}

}  // namespace lpn
