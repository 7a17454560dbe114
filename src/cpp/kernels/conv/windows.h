// How the windows of a convolution of bytes are laid out, in a header that ISA files may include.
#pragma once

#include <cstdint>

#include "kernels/term_group.h"

namespace lpn {
namespace {

// Terms between what is copied into scratch and what follows: copies go beyond their ends.
constexpr std::int64_t kScratchSlack = 64;

// Bytes that are copied at once when windows are gathered.
constexpr std::int64_t kCopiedPiece = 32;

// Rows that the windows of `rows` output rows cover.
constexpr std::int64_t covered_rows(std::int64_t rows, std::int64_t kh, std::int64_t stride) {
  return (rows - 1) * stride + kh;
}

// Whether a window's kh rows of `segment` terms are copied one after the other, to be multiplied as
// one: where groups of terms that begin anew in every row would be a tenth more. (Of a 7x7 window
// of three channels, rows take 42 groups of four and the window 37.)
template <class Term>
constexpr bool gathers_windows(std::int64_t kh, std::int64_t segment) {
  return 10 * kh * grouped_terms<Term>(segment) > 11 * grouped_terms<Term>(kh * segment);
}

}  // namespace
}  // namespace lpn
