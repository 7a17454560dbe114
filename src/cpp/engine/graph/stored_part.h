// Parts of a file that stay there until they are read.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <utility>

#include "base/stored_file.h"

namespace lpn {

// Bytes of a file that are to stay what they were when they were first read, by either function.
// Both throw std::system_error, also when the bytes are others by now: whoever wrote into the file
// meanwhile would else change a network that is in use.
class StoredPart {
 public:
  // Within the file.
  StoredPart(std::shared_ptr<const StoredFile> file, std::int64_t offset, std::int64_t bytes)
      : file_(std::move(file)), offset_(offset), bytes_(bytes) {}

  std::int64_t bytes() const { return bytes_; }

  void read(void* out) const;

  // CRC-32C; takes no memory to speak of.
  std::uint32_t checksum() const;

 private:
  void expect(std::uint32_t found) const;

  const std::shared_ptr<const StoredFile> file_;
  const std::int64_t offset_;
  const std::int64_t bytes_;
  mutable std::atomic<std::int64_t> seen_{-1};  // the bytes' CRC-32C; -1 before the first time
};

}  // namespace lpn
