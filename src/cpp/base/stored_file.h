// Parts of a file that stay there until they are read.
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <string>

namespace lpn {

// A file that stays open for as long as this lives: also one that is deleted or replaced meanwhile.
class StoredFile {
 public:
  // Takes a descriptor of its own; `name` is for the errors. Throws std::system_error.
  StoredFile(int descriptor, std::string name);
  ~StoredFile();
  StoredFile(const StoredFile&) = delete;
  StoredFile& operator=(const StoredFile&) = delete;

  std::int64_t size() const { return size_; }  // when it was opened

  // Any number of threads at once. Throws std::system_error, also when the file has become shorter.
  void read(std::int64_t offset, std::int64_t bytes, void* out) const;

  [[noreturn]] void throw_changed() const;

 private:
  const std::string name_;
  int descriptor_;
  std::int64_t size_ = 0;
};

// Bytes of a file that are to stay what they were when they were first read.
class StoredPart {
 public:
  // Within the file.
  StoredPart(std::shared_ptr<const StoredFile> file, std::int64_t offset, std::int64_t bytes)
      : file_(std::move(file)), offset_(offset), bytes_(bytes) {}

  std::int64_t bytes() const { return bytes_; }

  // Throws std::system_error, also when they are others than the first time: whoever wrote into the
  // file meanwhile would else change a network that is in use.
  void read(void* out) const;

 private:
  const std::shared_ptr<const StoredFile> file_;
  const std::int64_t offset_;
  const std::int64_t bytes_;
  mutable std::atomic<std::uint64_t> seen_{0};  // fingerprint of the bytes; 0 before the first time
};

}  // namespace lpn
