// What every step that runs 1x1 convolutions needs of them.
#pragma once

#include <cassert>
#include <type_traits>

#include "engine/ops/conv2d.h"
#include "engine/ops/steps/integer_layer.h"
#include "engine/plan/step_builder.h"
#include "kernels/pointwise/pointwise.h"

namespace lpn {

// What a sum is added to: a map of the result's type, of integers bytes.
template <class In, class Out>
using ResidualOf = std::conditional_t<std::is_same_v<In, std::uint8_t>, std::uint8_t, Out>;

template <class In, class Out>
void set_weights(const Conv& conv, StepBuilder& builder, PointwiseArgs<In, Out>& args) {
  const Node& node = *conv.node;
  args.bias = node.bias();
  args.activation = conv.activation;
  constexpr const char* kLayout = std::is_same_v<In, float> ? "/pointwise" : "/pointwise/bf16";
  args.packed_b = builder.weights.get<In>(
      node.name + kLayout, pointwise_packed_size<In>(builder.isa, args.k, args.n), [&](In* packed) {
        pack_pointwise(builder.isa, node.weight("weight").data(), args.k, args.n, packed);
      });
}

inline Quantizations quantizations(const Conv& conv, const StepBuilder& builder) {
  Quantizations maps{*builder.quantization(conv.input), {}, builder.quantization(conv.output)};
  if (conv.residual) maps.residual = builder.quantization(*conv.residual);
  return maps;
}

// A vector that is added holds the convolution's bias.
template <class Out>
void set_weights(const Conv& conv, StepBuilder& builder, PointwiseArgs<std::uint8_t, Out>& args) {
  const bool gated = conv.vector && conv.vector->use == VectorUse::kScale;
  const bool own_bias = !conv.vector || gated;
  IntegerLayer layer(*conv.node, quantizations(conv, builder), builder);
  args.packed_b = layer.packed("/pointwise/s8",
                               pointwise_packed_size<std::uint8_t>(builder.isa, args.k, args.n),
                               [&](const std::int8_t* w, std::int8_t* packed) {
                                 pack_pointwise_s8(builder.isa, w, args.k, args.n, packed);
                               });
  args.multiplier = layer.multiplier(args.n);
  args.bias = layer.bias(args.n, own_bias, gated);
  const Requantization result = layer.requantization(conv.activation, gated);
  args.offset = result.offset;
  args.residual_scale = result.residual_scale;
  args.least = result.least;
  args.most = result.most;
}

// Everything but the pointers and the count of positions, for positions one after the other.
template <class In, class Out>
PointwiseArgs<In, Out> pointwise_args(const Conv& conv, StepBuilder& builder) {
  PointwiseArgs<In, Out> args{};
  args.k = builder.shape(conv.input).c;
  args.lda = builder.row_stride(conv.input);
  args.n = builder.shape(conv.output).c;
  args.ld_out = builder.row_stride(conv.output);
  if (conv.residual) args.ld_residual = builder.row_stride(*conv.residual);
  set_weights(conv, builder, args);
  return args;
}

double pointwise_flops(const Conv& conv, const StepBuilder& builder);

}  // namespace lpn
