// Grouped transposed convolution over NHWC maps, by output rows.
#pragma once

#include <cstdint>

#include "kernels/activation.h"
#include "kernels/variants.h"

namespace lpn {

// out[y, x, g, o] = act(bias[g, o] + sum_{i, j, c} in[u, v, g, c] * w[g, c, o, i, j]) over the taps
// with y = u * stride - padding + i and x = v * stride - padding + j, for output rows [row_begin,
// row_end). out_h = (in_h - 1) * stride - 2 * padding + kh, out_w likewise. Ascending (i, j, c):
// one chain of fma per output.
struct GroupDeconvArgs {
  const float* in;  // image row `in_row_begin` of an (in_h, in_w, in_c) map
  std::int64_t in_row_begin;
  std::int64_t in_h, in_w, in_c;
  const float* packed_w;  // from pack_group_deconv for the same tier
  const float* bias;      // out_c floats, or null
  float* out;             // output row `row_begin` of an (out_h, out_w, out_c) map
  std::int64_t out_w, out_c;
  std::int64_t row_begin, row_end;
  std::int64_t groups;  // divides in_c and out_c
  std::int64_t kh, kw, stride, padding;
  Activation activation;
  float* scratch;  // group_deconv_scratch_size floats, one per thread
};

using GroupDeconvFn = void (*)(const GroupDeconvArgs& args);

#define LPN_KERNEL(name, isa, panel)           \
  constexpr std::int64_t name##_panel = panel; \
  void name(const GroupDeconvArgs& args);
#include "kernels/group_deconv/kernels.inc"
#undef LPN_KERNEL

const PanelVariant<GroupDeconvFn>& select_group_deconv(Isa isa);

// Floats of scratch for a call over at most `rows` output rows.
std::int64_t group_deconv_scratch_size(std::int64_t rows, std::int64_t in_h, std::int64_t in_w,
                                       std::int64_t in_c, std::int64_t groups, std::int64_t kh,
                                       std::int64_t stride);

// Packs w (in_c, out_c / groups, kh, kw), PyTorch's layout, into the kernel's own.
std::int64_t group_deconv_packed_size(Isa isa, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
                                      std::int64_t out_c, std::int64_t groups);
void pack_group_deconv(Isa isa, const float* w, std::int64_t kh, std::int64_t kw, std::int64_t in_c,
                       std::int64_t out_c, std::int64_t groups, float* packed);

}  // namespace lpn
