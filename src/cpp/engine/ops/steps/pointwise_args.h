// What every step that runs 1x1 convolutions needs of them.
#pragma once

#include <type_traits>

#include "engine/ops/conv2d.h"
#include "engine/plan/step_builder.h"
#include "kernels/pointwise/pointwise.h"

namespace lpn {

// Everything but the pointers and the count of positions, for positions one after the other.
template <class In, class Out>
PointwiseArgs<In, Out> pointwise_args(const Conv& conv, StepBuilder& builder) {
  const Node& node = *conv.node;
  const std::int64_t in_c = builder.shape(conv.input).c;
  const std::int64_t out_c = builder.shape(conv.output).c;
  PointwiseArgs<In, Out> args{};
  args.k = in_c;
  args.lda = builder.row_stride(conv.input);
  args.n = out_c;
  args.ld_out = builder.row_stride(conv.output);
  if (conv.residual) args.ld_residual = builder.row_stride(*conv.residual);
  args.bias = node.bias();
  args.activation = conv.activation;
  constexpr const char* kLayout = std::is_same_v<In, float> ? "/pointwise" : "/pointwise/bf16";
  args.packed_b = builder.weights.get<In>(
      node.name + kLayout, pointwise_packed_size<In>(builder.isa, in_c, out_c), [&](In* packed) {
        pack_pointwise(builder.isa, node.weight("weight").data(), in_c, out_c, packed);
      });
  return args;
}

double pointwise_flops(const Conv& conv, const StepBuilder& builder);

}  // namespace lpn
