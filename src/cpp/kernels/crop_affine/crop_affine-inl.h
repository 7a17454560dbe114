// The affine crop's body, written once: each source row is first interpolated along x into planes
// of floats, and two such rows then along y. Include after a vec_*.h.
#pragma once

#include <assert.h>
#include <math.h>
#include <string.h>

#include "kernels/crop_affine/crop_affine.h"

namespace lpn {
namespace {

// Output columns handled together: everything that is kept of them (about 16 KiB) stays in L1.
constexpr int kCropColumns = 256;

// Where one coordinate is sampled: (1 - f) * v[i] + f * v[i + 1] with v = 0 outside, as low *
// v[index] + high * v[index + 1] where index and, unless size is 1, index + 1 are inside.
struct Tap {
  int64_t index;
  float low, high;
};

// No sample outside reaches the comparison's other side as an integer, so that no coordinate is too
// large to convert.
inline Tap make_tap(double at, int64_t size) {
  if (!(at > -1.0 && at < static_cast<double>(size))) return {0, 0.0f, 0.0f};
  const double whole = floor(at);
  const int64_t index = static_cast<int64_t>(whole);
  const float fraction = static_cast<float>(at - whole);
  const float rest = static_cast<float>(1.0 - (at - whole));
  if (index < 0) return {0, fraction, 0.0f};
  if (index + 1 < size) return {index, rest, fraction};
  return size == 1 ? Tap{0, rest, 0.0f} : Tap{size - 2, 0.0f, rest};
}

// Weights of the left and right pixel of every column; zero for columns beyond the last.
struct ColumnWeights {
  float low[kCropColumns];
  float high[kCropColumns];
};

// Bytes 0-3 and 2-5 of two neighbouring pixels (c0 c1 c2 c0' and c2 c0' c1' c2'): two loads that
// touch nothing else.
struct PixelPairs {
  uint8_t first[4 * kCropColumns];
  uint8_t second[4 * kCropColumns];
};

// Channel planes of one row of columns.
struct PlanarRow {
  float channel[3][kCropColumns];
};

// The column of the matrix's raster that output column `column` shows.
inline double raster_column(const CropAffineArgs& args, int64_t column) {
  return static_cast<double>(args.mirrored ? args.out_w - 1 - column : column);
}

// Collects the pixel pairs at `row` + offset[i].
inline void gather_pairs(const uint8_t* row, const int64_t* offset, int columns,
                         bool one_pixel_wide, PixelPairs& pairs) {
  if (one_pixel_wide) {  // the right pixel does not exist, and its weight is 0
    for (int i = 0; i < columns; ++i) {
      memcpy(pairs.first + 4 * i, row + offset[i], 3);
    }
    return;
  }
  for (int i = 0; i < columns; ++i) {
    memcpy(pairs.first + 4 * i, row + offset[i], 4);
    memcpy(pairs.second + 4 * i, row + offset[i] + 2, 4);
  }
}

// out[c] = low * left pixel + high * right pixel.
inline void interpolate_x(const PixelPairs& pairs, const ColumnWeights& weights, int columns,
                          PlanarRow& out) {
  static_assert(U8::kLanes == 4 * F32::kLanes, "a vector of bytes holds four of each lane");
  for (int i = 0; i < columns; i += F32::kLanes) {
    F32 first[4];
    F32 second[4];
    deinterleave4(load<U8>(pairs.first + 4 * i), first);
    deinterleave4(load<U8>(pairs.second + 4 * i), second);
    const F32 low = load<F32>(weights.low + i);
    const F32 high = load<F32>(weights.high + i);
    store(out.channel[0] + i, fma(second[1], high, mul(first[0], low)));
    store(out.channel[1] + i, fma(second[2], high, mul(first[1], low)));
    store(out.channel[2] + i, fma(second[3], high, mul(first[2], low)));
  }
}

// out[i, c] = (top weight * top + bottom weight * bottom)[map[c]] * scale[c] + shift[c];
// `weights(i)` are those of the columns from i, top then bottom.
template <class Weights>
inline void interpolate_y(const CropAffineArgs& args, const PlanarRow& top, const PlanarRow& bottom,
                          const Weights& weights, int columns, float* out) {
  for (int i = 0; i < columns; i += F32::kLanes) {
    const auto w = weights(i);
    F32 v[3];
#pragma GCC unroll 3
    for (int c = 0; c < 3; ++c) {
      const int plane = args.channel_map[c];
      const F32 value = fma(load<F32>(bottom.channel[plane] + i), w.bottom,
                            mul(load<F32>(top.channel[plane] + i), w.top));
      v[c] = fma(value, set1<F32>(args.scale[c]), set1<F32>(args.shift[c]));
    }
    if (i + F32::kLanes <= columns) {
      store_interleave3(out + 3 * i, v[0], v[1], v[2]);
    } else {
      float tail[3 * F32::kLanes];
      store_interleave3(tail, v[0], v[1], v[2]);
      memcpy(out + 3 * i, tail, static_cast<size_t>(3 * (columns - i)) * sizeof(float));
    }
  }
}

struct RowWeights {
  F32 top, bottom;
};

// matrix[1] == matrix[3] == 0: columns do not depend on the row, so their taps are made once and a
// source row that two output rows share is interpolated once.
class AxisAlignedCrop {
 public:
  AxisAlignedCrop(const CropAffineArgs& args, int64_t column_begin, int columns)
      : args_(args), column_begin_(column_begin), columns_(columns) {
    memset(&weights_, 0, sizeof(weights_));
    memset(&pairs_, 0, sizeof(pairs_));
    for (int i = 0; i < columns; ++i) {
      const double x = raster_column(args, column_begin + i);
      const Tap tap = make_tap(args.matrix[0] * x + args.matrix[2], args.image_w);
      offset_[i] = 3 * tap.index;
      if (tap.low != 0.0f || tap.high != 0.0f) {
        if (offset_[i] < read_begin_) read_begin_ = offset_[i];
        if (offset_[i] > read_last_) read_last_ = offset_[i];
      }
      weights_.low[i] = tap.low;
      weights_.high[i] = tap.high;
    }
  }

  void run() {
    for (int64_t y = args_.row_begin; y < args_.row_end; ++y) {
      const Tap tap = row_tap(y);
      if (y + 1 < args_.row_end) prefetch(row_tap(y + 1));
      float* out = args_.out + ((y - args_.row_begin) * args_.out_w + column_begin_) * 3;
      if (tap.low == 0.0f && tap.high == 0.0f) {
        fill(out);
        continue;
      }
      // A row of weight 0 may not exist; the other one then stands in for it.
      const PlanarRow& top = source_row(tap.low != 0.0f ? tap.index : tap.index + 1);
      const PlanarRow& bottom = tap.high != 0.0f ? source_row(tap.index + 1) : top;
      const RowWeights weights = {set1<F32>(tap.low), set1<F32>(tap.high)};
      interpolate_y(args_, top, bottom, [&](int) { return weights; }, columns_, out);
    }
  }

 private:
  Tap row_tap(int64_t y) const {
    return make_tap(args_.matrix[4] * static_cast<double>(y) + args_.matrix[5], args_.image_h);
  }

  // Asks for the source rows of the next output row. Where an image is shrunk each is read once,
  // from memory, in hops that the hardware's own prefetching gives up at every new page: an output
  // row's work hides most of that.
  void prefetch(const Tap& tap) const {
    constexpr int64_t kLine = 64;
    const uint8_t* row = args_.image + tap.index * args_.row_stride;
    const uint8_t* next = tap.high != 0.0f ? row + args_.row_stride : row;
    for (int64_t at = read_begin_; at <= read_last_; at += kLine) {
      prefetch_l2(row + at);
      prefetch_l2(next + at);
    }
  }

  // Row y of the image interpolated along x. Even and odd rows have a place each, so neighbours
  // never evict each other.
  const PlanarRow& source_row(int64_t y) {
    const int place = static_cast<int>(y & 1);
    if (held_[place] != y) {
      gather_pairs(args_.image + y * args_.row_stride, offset_, columns_, args_.image_w == 1,
                   pairs_);
      interpolate_x(pairs_, weights_, columns_, rows_[place]);
      held_[place] = y;
    }
    return rows_[place];
  }

  void fill(float* out) const {
    for (int i = 0; i < columns_; ++i) {
      for (int c = 0; c < 3; ++c) out[3 * i + c] = args_.shift[c];
    }
  }

  const CropAffineArgs& args_;
  const int64_t column_begin_;
  const int columns_;
  int64_t held_[2] = {-1, -1};
  // The least and the largest offset of a column inside the image.
  int64_t read_begin_ = INT64_MAX, read_last_ = -1;
  int64_t offset_[kCropColumns];
  ColumnWeights weights_;
  PixelPairs pairs_;
  PlanarRow rows_[2];
};

// Any matrix: every pixel has its own taps along both axes.
class GeneralCrop {
 public:
  GeneralCrop(const CropAffineArgs& args, int64_t column_begin, int columns)
      : args_(args), column_begin_(column_begin), columns_(columns) {
    memset(&weights_, 0, sizeof(weights_));
    memset(&row_weights_, 0, sizeof(row_weights_));
    memset(&pairs_, 0, sizeof(pairs_));
  }

  void run() {
    const bool one_pixel_wide = args_.image_w == 1;
    for (int64_t y = args_.row_begin; y < args_.row_end; ++y) {
      locate(static_cast<double>(y));
      gather_pairs(args_.image, top_offset_, columns_, one_pixel_wide, pairs_);
      interpolate_x(pairs_, weights_, columns_, rows_[0]);
      gather_pairs(args_.image, bottom_offset_, columns_, one_pixel_wide, pairs_);
      interpolate_x(pairs_, weights_, columns_, rows_[1]);
      float* out = args_.out + ((y - args_.row_begin) * args_.out_w + column_begin_) * 3;
      const auto weights = [this](int i) {
        return RowWeights{load<F32>(row_weights_.low + i), load<F32>(row_weights_.high + i)};
      };
      interpolate_y(args_, rows_[0], rows_[1], weights, columns_, out);
    }
  }

 private:
  void locate(double y) {
    const double* m = args_.matrix;
    for (int i = 0; i < columns_; ++i) {
      const double x = raster_column(args_, column_begin_ + i);
      const Tap across = make_tap(m[0] * x + m[1] * y + m[2], args_.image_w);
      const Tap down = make_tap(m[3] * x + m[4] * y + m[5], args_.image_h);
      weights_.low[i] = across.low;
      weights_.high[i] = across.high;
      row_weights_.low[i] = down.low;
      row_weights_.high[i] = down.high;
      top_offset_[i] = down.index * args_.row_stride + 3 * across.index;
      bottom_offset_[i] = top_offset_[i] + (args_.image_h == 1 ? 0 : args_.row_stride);
    }
  }

  const CropAffineArgs& args_;
  const int64_t column_begin_;
  const int columns_;
  int64_t top_offset_[kCropColumns];
  int64_t bottom_offset_[kCropColumns];
  ColumnWeights weights_;      // along x
  ColumnWeights row_weights_;  // along y: low is the top row's
  PixelPairs pairs_;
  PlanarRow rows_[2];
};

inline void crop_affine(const CropAffineArgs& args) {
  assert(args.image_h >= 1 && args.image_w >= 1);
  assert(args.image_h == 1 || args.row_stride >= 3 * args.image_w);
  assert(args.out_w >= 0 && 0 <= args.row_begin && args.row_begin <= args.row_end);
  assert(args.image != nullptr && (args.out != nullptr || args.row_begin == args.row_end));
  for (int c = 0; c < 3; ++c) assert(args.channel_map[c] >= 0 && args.channel_map[c] < 3);
  const bool axis_aligned = args.matrix[1] == 0.0 && args.matrix[3] == 0.0;
  for (int64_t column = 0; column < args.out_w; column += kCropColumns) {
    const int64_t left = args.out_w - column;
    const int columns = static_cast<int>(left < kCropColumns ? left : kCropColumns);
    if (axis_aligned) {
      AxisAlignedCrop(args, column, columns).run();
    } else {
      GeneralCrop(args, column, columns).run();
    }
  }
}

}  // namespace
}  // namespace lpn
