#include "kernels/crc32c/crc32c.h"

#include "simd/crc32c.h"

namespace lpn {
namespace {

const Variant<Crc32cFn> kVariants[] = {
#define LPN_KERNEL(name, isa) {Isa::isa, #name, name},
#include "kernels/crc32c/kernels.inc"
#undef LPN_KERNEL
};

}  // namespace

const Variant<Crc32cFn>& select_crc32c(Isa isa) { return select_variant(kVariants, isa); }

std::uint32_t join_crc32c(std::uint32_t first, std::uint32_t second, std::int64_t second_size) {
  return times(first, x_to_bytes(second_size)) ^ second;  // what is inverted cancels out
}

}  // namespace lpn
