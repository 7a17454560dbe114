#include "engine/graph/stored_part.h"

#include <algorithm>

#include "base/cpu_features.h"
#include "kernels/crc32c/crc32c.h"

namespace lpn {
namespace {

// Of no set that LPN_ISA names: every variant gives the same number.
std::uint32_t crc32c(std::uint32_t before, const void* data, std::int64_t size) {
  static const Crc32cFn kRun = select_crc32c(cpu_features()).run;
  return kRun({before, static_cast<const unsigned char*>(data), size});
}

}  // namespace

void StoredPart::read(void* out) const {
  file_->read(offset_, bytes_, out);
  expect(crc32c(0, out, bytes_));
}

std::uint32_t StoredPart::checksum() const {
  constexpr std::int64_t kBlock = std::int64_t{1} << 16;  // stays in the L2 cache
  const std::unique_ptr<unsigned char[]> block(
      new unsigned char[static_cast<std::size_t>(std::min(bytes_, kBlock))]);
  std::uint32_t crc = 0;
  for (std::int64_t begin = 0; begin < bytes_; begin += kBlock) {
    const std::int64_t size = std::min(kBlock, bytes_ - begin);
    file_->read(offset_ + begin, size, block.get());
    crc = crc32c(crc, block.get(), size);
  }
  expect(crc);
  return crc;
}

void StoredPart::expect(std::uint32_t found) const {
  std::int64_t first = -1;
  if (!seen_.compare_exchange_strong(first, found, std::memory_order_relaxed) && first != found)
    file_->throw_changed();
}

}  // namespace lpn
