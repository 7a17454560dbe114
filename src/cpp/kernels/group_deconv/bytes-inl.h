// Grouped transposed convolution of bytes. Include after a vec_*.h.
#pragma once

#include <assert.h>

#include "kernels/channels-inl.h"
#include "kernels/group_deconv/group_deconv.h"
#include "kernels/group_deconv/phases-inl.h"
#include "kernels/quads-inl.h"

namespace lpn {
namespace {

// Input rows; row u is at (u - begin) * in_w * in_c.
struct ByteRows {
  const uint8_t* data;
  int64_t begin;
};

// The channels of a pixel, [group][c], in the order [c][group].
inline void deinterleave_bytes(const uint8_t* in, int64_t groups, int64_t group_inputs,
                               uint8_t* out) {
  int64_t g = 0;
  if (group_inputs == 2) {
    for (; g + U8::kLanes <= groups; g += U8::kLanes) {
      U8 first, second;
      load_deinterleave2(in + 2 * g, first, second);
      store(out + g, first);
      store(out + groups + g, second);
    }
  }
  for (; g < groups; ++g) {
    for (int64_t c = 0; c < group_inputs; ++c) out[c * groups + g] = in[g * group_inputs + c];
  }
}

// The rows this call reads, in the order of groups where these have several inputs.
inline ByteRows byte_rows(const GroupDeconvArgs<uint8_t>& args) {
  const int64_t group_inputs = args.in_c / args.groups;
  if (group_inputs == 1) return {args.in, args.in_row_begin};
  const InputRows rows = rows_read(args);
  if (rows.begin >= rows.end) return {args.scratch, 0};
  const uint8_t* in = args.in + (rows.begin - args.in_row_begin) * args.in_w * args.in_c;
  uint8_t* out = args.scratch;
  for (int64_t pixel = rows.begin * args.in_w; pixel < rows.end * args.in_w;
       ++pixel, in += args.in_c, out += args.in_c) {
    deinterleave_bytes(in, args.groups, group_inputs, out);
  }
  return {args.scratch, rows.begin};
}

// One output per group, a block of groups. The phases around an input pixel read the same terms,
// which are transposed once. kQuads is how many quads they are, or 0 for any.
template <int kQuads>
class GroupBlock {
 public:
  // Groups [at, at + U8::kLanes), of which those beyond the last do not exist.
  GroupBlock(const GroupDeconvArgs<uint8_t>& args, const ByteRows& in, int64_t at)
      : args_(args),
        in_(in),
        rows_(rows_read(args)),
        at_(at),
        columns_((args.kw + args.stride - 1) / args.stride),
        terms_(group_deconv_terms(args.kh, args.kw, args.stride, args.in_c / args.groups)),
        quads_(kQuads > 0 ? kQuads : quads_of(terms_)) {
    const int64_t n = args.groups - at < U8::kLanes ? args.groups - at : U8::kLanes;
    epilogue_ = {quad_floats(args.multiplier + at, n), quad_floats(args.bias + at, n),
                 set1<U8>(args.least), set1<U8>(args.most), static_cast<int>(n)};
    w_ = args.packed_w +
         at / U8::kLanes * args.stride * args.stride * quads_ * quad_weight_bytes(kQuadLayout);
    store(nothing_, set1<U8>(0));
  }

  // Output y is phase (y + padding) % stride of input (y + padding) / stride.
  void run() {
    const int64_t s = args_.stride;
    for (int64_t u = (args_.row_begin + args_.padding) / s; u * s < args_.row_end + args_.padding;
         ++u) {
      find_terms(u);
      if (epilogue_.n == U8::kLanes) {
        row(AllBytes{}, u * s - args_.padding);
      } else {
        row(FirstBytes{epilogue_.n}, u * s - args_.padding);
      }
    }
  }

 private:
  // A vector of bytes of the input: `first` is that of column 0, and the column is that of the
  // pixel less `left`.
  struct Term {
    const uint8_t* first;
    int64_t step, left;
  };

  void find_terms(int64_t u) {
    const int64_t inputs = args_.in_c / args_.groups;
    for (int64_t t = 0; t < quads_ * kQuadTerms; ++t) {
      const int64_t pixel = t / inputs;
      const int64_t row = u - pixel / columns_;
      term_[t] = {nothing_, 0, 0};
      if (t >= terms_ || row < rows_.begin || row >= rows_.end) continue;
      const uint8_t* first = in_.data + (row - in_.begin) * args_.in_w * args_.in_c;
      term_[t] = {first + t % inputs * args_.groups + at_, args_.in_c, pixel % columns_};
    }
  }

  // The outputs from row y on, around one row of input pixels.
  template <class Lanes>
  LPN_NOT_INLINE void row(const Lanes& lanes, int64_t y) const {
    const int64_t s = args_.stride;
    // Stores of bytes might change anything but locals.
    const int64_t in_w = args_.in_w, out_w = args_.out_w, out_c = args_.out_c;
    const int64_t padding = args_.padding, quads = quads_;
    const int64_t row_begin = y < args_.row_begin ? args_.row_begin - y : 0;
    const int64_t row_end = args_.row_end - y < s ? args_.row_end - y : s;
    const ByteEpilogue epilogue = epilogue_;
    const int8_t* const w = w_;
    uint8_t* const out = args_.out + (y - args_.row_begin) * out_w * out_c + at_;
    QuadColumn quad[kMostQuads];
    for (int64_t v = padding / s; v * s < out_w + padding; ++v) {
      const bool inside = v >= columns_ - 1 && v < in_w;
#pragma GCC unroll 2
      for (int64_t q = 0; q < (kQuads > 0 ? kQuads : quads); ++q) {
        U8 bytes[kQuadTerms];
#pragma GCC unroll 4
        for (int t = 0; t < kQuadTerms; ++t) {
          const Term& term = term_[q * kQuadTerms + t];
          const int64_t column = v - term.left;
          const bool exists = inside || (column >= 0 && column < in_w);
          bytes[t] = lanes.read(exists ? term.first + column * term.step : nothing_);
        }
        transpose4(bytes[0], bytes[1], bytes[2], bytes[3], quad[q].part);
      }
      const int64_t x = v * s - padding;
      const int64_t column_begin = x < 0 ? -x : 0;
      const int64_t column_end = out_w - x < s ? out_w - x : s;
      for (int64_t i = row_begin; i < row_end; ++i) {
        uint8_t* pixel = out + (i * out_w + x + column_begin) * out_c;
        const int8_t* weights = w + (i * s + column_begin) * quads * quad_weight_bytes(kQuadLayout);
        for (int64_t j = column_begin; j < column_end; ++j, pixel += out_c) {
          output(lanes, epilogue, quad, quads, weights, pixel);
          weights += quads * quad_weight_bytes(kQuadLayout);
        }
      }
    }
  }

  template <class Lanes>
  LPN_INLINE_BODY static void output(const Lanes& lanes, const ByteEpilogue& epilogue,
                                     const QuadColumn* quad, int64_t quads, const int8_t* w,
                                     uint8_t* out) {
    I32 value[kQuadVectors];
#pragma GCC unroll 4
    for (int s = 0; s < kQuadVectors; ++s) {
      I32 sum = zero<I32>();
#pragma GCC unroll 2
      for (int64_t q = 0; q < (kQuads > 0 ? kQuads : quads); ++q) {
        const int8_t* weights = w + (q * kQuadVectors + s) * kVectorBytes;
        sum = add_quad(Quad::terms(quad[q].part[s]), Quad::weights(weights), sum);
      }
      value[s] = quantize(sum, epilogue, s);
    }
    lanes.write(out,
                clamp_bytes(saturate(value[0], value[1]), saturate(value[2], value[3]), epilogue));
  }

  const GroupDeconvArgs<uint8_t>& args_;
  const ByteRows in_;
  const InputRows rows_;
  const int64_t at_;
  const int64_t columns_;  // of input pixels that a tap of one output may hit
  const int64_t terms_, quads_;
  ByteEpilogue epilogue_;
  const int8_t* w_;
  static constexpr int64_t kMostQuads = kQuads > 0 ? kQuads : quads_of(kMostGroupTerms);
  Term term_[kMostQuads * kQuadTerms];
  uint8_t nothing_[U8::kLanes];
};

template <int kQuads>
inline void deconv_blocks(const GroupDeconvArgs<uint8_t>& args, const ByteRows& in) {
  for (int64_t at = 0; at < args.groups; at += U8::kLanes) GroupBlock<kQuads>(args, in, at).run();
}

// Several outputs per group: some of one panel's, each tap a small matrix product.
template <int kVectors>
struct BytePanelTile {
  // With a row's pairs of words in two registers, fewer rows fit.
  static constexpr int kPixels = kHasDot4 ? 6 : 4;

  const GroupDeconvArgs<uint8_t>& args;
  const uint8_t* in;    // from the group's first channel on
  const int8_t* panel;  // [kh][kw][quads][kTileVectors][kVectorBytes]
  int64_t column, columns;

  template <int kCount>
  LPN_INLINE_BODY void add_quads(I32 (&acc)[kCount][kVectors], const U8 (&a)[kCount],
                                 const int8_t* w) const {
    typename Quad::Terms terms[kCount];
#pragma GCC unroll 6
    for (int t = 0; t < kCount; ++t) terms[t] = Quad::terms(a[t]);
#pragma GCC unroll 4
    for (int v = 0; v < kVectors; ++v) {
      const typename Quad::Weights weights = Quad::weights(w + v * kVectorBytes);
#pragma GCC unroll 6
      for (int t = 0; t < kCount; ++t) acc[t][v] = add_quad(terms[t], weights, acc[t][v]);
    }
  }

  template <int kCount>
  void pixels(const Taps& tap_rows, const Taps& tap_columns, uint8_t* out) const {
    const int64_t inputs = args.in_c / args.groups;
    const int64_t tap_bytes = quads_of(inputs) * kTileVectors * kVectorBytes;
    I32 acc[kCount][kVectors];
#pragma GCC unroll 6
    for (int t = 0; t < kCount; ++t) {
#pragma GCC unroll 4
      for (int v = 0; v < kVectors; ++v) acc[t][v] = zero<I32>();
    }
    for (int64_t i = 0; i < tap_rows.count; ++i) {
      const int64_t in_row = (tap_rows.input - i - args.in_row_begin) * args.in_w;
      const int64_t w_row = (tap_rows.weight + i * args.stride) * args.kw;
      for (int64_t j = 0; j < tap_columns.count; ++j) {
        const uint8_t* a = in + (in_row + tap_columns.input - j) * args.in_c;
        const int8_t* w = panel + (w_row + tap_columns.weight + j * args.stride) * tap_bytes;
        U8 quad[kCount];
        int64_t k = 0;
        for (; k + kQuadTerms <= inputs; k += kQuadTerms, w += kTileVectors * kVectorBytes) {
#pragma GCC unroll 6
          for (int t = 0; t < kCount; ++t) quad[t] = set1_quad<U8>(a + t * args.in_c + k);
          add_quads(acc, quad, w);
        }
        if (k < inputs) {
          const int left = static_cast<int>(inputs - k);
#pragma GCC unroll 6
          for (int t = 0; t < kCount; ++t) quad[t] = set1_first<U8>(a + t * args.in_c + k, left);
          add_quads(acc, quad, w);
        }
      }
    }
    const F32 least = set1<F32>(args.least);
    const F32 most = set1<F32>(args.most);
    for (int v = 0; v < kVectors; ++v) {
      const int64_t at = v * F32::kLanes;
      if (at >= columns) break;
      const int n = static_cast<int>(columns - at < F32::kLanes ? columns - at : F32::kLanes);
      const F32 multiplier = load_n<F32>(args.multiplier + column + at, n);
      const F32 bias = load_n<F32>(args.bias + column + at, n);
      for (int t = 0; t < kCount; ++t) {
        const F32 value = fma_exact(to_float(acc[t][v]), multiplier, bias);
        store_n(out + t * args.stride * args.out_c + column + at, n, min(max(value, least), most));
      }
    }
  }
};

template <int kVectors>
inline void deconv_panel(const GroupDeconvArgs<uint8_t>& args, const uint8_t* in,
                         const int8_t* panel, int64_t column, int64_t columns) {
  deconv_rows(args, BytePanelTile<kVectors>{args, in, panel, column, columns});
}

inline void deconv_panels(const GroupDeconvArgs<uint8_t>& args) {
  constexpr int64_t kPanel = kTileVectors * F32::kLanes;
  const int64_t inputs = args.in_c / args.groups;
  const int64_t outputs = args.out_c / args.groups;
  const int8_t* panel = args.packed_w;
  for (int64_t g = 0; g < args.groups; ++g) {
    for (int64_t o = 0; o < outputs; o += kPanel) {
      const int64_t columns = outputs - o < kPanel ? outputs - o : kPanel;
      const uint8_t* in = args.in + g * inputs;
      const int64_t column = g * outputs + o;
      if (columns > 2 * F32::kLanes) {
        deconv_panel<kTileVectors>(args, in, panel, column, columns);
      } else if (columns > F32::kLanes) {
        deconv_panel<2>(args, in, panel, column, columns);
      } else {
        deconv_panel<1>(args, in, panel, column, columns);
      }
      panel += args.kh * args.kw * quads_of(inputs) * kTileVectors * kVectorBytes;
    }
  }
}

inline void group_deconv(const GroupDeconvArgs<uint8_t>& args) {
  check_group_deconv(args);
  assert(args.multiplier != nullptr && args.bias != nullptr);
  const int64_t inputs = args.in_c / args.groups;
  if (!group_deconv_in_quads(args.kh, args.kw, args.stride, inputs, args.out_c / args.groups))
    return deconv_panels(args);
  const ByteRows in = byte_rows(args);
  const int64_t terms = group_deconv_terms(args.kh, args.kw, args.stride, inputs);
  if (terms <= kQuadTerms) return deconv_blocks<1>(args, in);
  if (terms <= 2 * kQuadTerms) return deconv_blocks<2>(args, in);
  deconv_blocks<0>(args, in);
}

}  // namespace
}  // namespace lpn
