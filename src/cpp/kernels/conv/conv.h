// Dense k x k convolution over NHWC maps, by output rows.
#pragma once

#include <cstdint>

#include "kernels/activation.h"
#include "kernels/variants.h"

namespace lpn {

// out[y, x, o] = act(bias[o] + sum_{i, j, c} in[y * stride + i - padding, x * stride + j - padding,
// c] * w[i, j, c, o]) for output rows [row_begin, row_end); taps outside the map are skipped or
// multiply a zero. Ascending (i, j, c).
struct ConvArgs {
  const float* in;            // image row `in_row_begin` of an (in_h, in_w, in_c) map
  std::int64_t in_row_begin;  // 0 unless `in` is a tile of the map that holds just the rows these
                              // output rows need
  std::int64_t in_h, in_w, in_c;
  const float* packed_w;  // from pack_conv for the same tier
  const float* bias;      // out_c floats, or null
  const float* residual;  // output row `row_begin`, as out, or null
  std::int64_t ld_residual;
  float* out;  // output row `row_begin` of an (out_h, out_w, out_c) map, pixels ld_out floats apart
  std::int64_t ld_out;
  std::int64_t out_w, out_c;
  std::int64_t row_begin, row_end;
  std::int64_t kh, kw, stride, padding;
  Activation activation;
  float* scratch;  // conv_scratch_size floats, one per thread
};

using ConvFn = void (*)(const ConvArgs& args);

#define LPN_KERNEL(name, isa, panel)           \
  constexpr std::int64_t name##_panel = panel; \
  void name(const ConvArgs& args);
#include "kernels/conv/kernels.inc"
#undef LPN_KERNEL

const PanelVariant<ConvFn>& select_conv(Isa isa);

// Floats of scratch for a call over at most `rows` output rows: the rows of the map that they read,
// with their padding.
std::int64_t conv_scratch_size(std::int64_t rows, std::int64_t in_h, std::int64_t in_w,
                               std::int64_t in_c, std::int64_t kh, std::int64_t stride,
                               std::int64_t padding);

// Packs w (out_c, in_c, kh, kw), PyTorch's layout, into [ceil(out_c / panel)][kh][kw * in_c][panel]
// with the variant's panel; the last panel is padded with zeros.
std::int64_t conv_packed_size(Isa isa, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
                              std::int64_t out_c);
void pack_conv(Isa isa, const float* w, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
               std::int64_t out_c, float* packed);

}  // namespace lpn
