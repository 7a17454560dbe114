// Files whose parts stay there until they are read.
#pragma once

#include <cstdint>
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

}  // namespace lpn
