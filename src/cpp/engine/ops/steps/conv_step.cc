// Dense convolution by output rows.
#include <memory>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/ops/conv2d.h"
#include "engine/ops/steps/integer_layer.h"
#include "engine/plan/step_builder.h"
#include "kernels/conv/border_classes.h"
#include "kernels/conv/conv.h"

namespace lpn {
namespace {

// The border classes of a map of pixels; empty for others, whose padding is a byte.
struct Borders {
  BorderClasses rows, columns;
};

template <class In, class Out>
class ConvStep final : public Step {
 public:
  ConvStep(Info info, const Conv& conv, ConvFn<In, Out> run, RowChunks rows,
           const ConvArgs<In, Out>& args, std::shared_ptr<const Borders> borders)
      : Step(std::move(info)),
        input_(conv.input),
        output_(conv.output),
        residual_(conv.residual),
        run_(run),
        rows_(rows),
        args_(args),
        borders_(std::move(borders)) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int worker) const override {
    ConvArgs<In, Out> args = args_;
    args.row_begin = rows_.begin(chunk);
    args.row_end = rows_.end(chunk);
    const std::int64_t position = args.row_begin * args.out_w;
    args.in = context.tensor<In>(input_);
    args.out = context.tensor<Out>(output_) + position * args.ld_out;
    if (residual_) args.residual = context.tensor<Out>(*residual_) + position * args.ld_residual;
    args.scratch = context.scratch_of<std::remove_pointer_t<decltype(args.scratch)>>(worker);
    run_(args);
  }

 private:
  const int input_, output_;
  const std::optional<int> residual_;
  const ConvFn<In, Out> run_;
  const RowChunks rows_;
  const ConvArgs<In, Out> args_;
  const std::shared_ptr<const Borders> borders_;  // that args_ points into, or null
};

template <class In, class Out>
std::shared_ptr<const Borders> set_weights(const Conv& conv, StepBuilder& builder,
                                           ConvArgs<In, Out>& args) {
  const Node& node = *conv.node;
  args.bias = node.bias();
  args.activation = conv.activation;
  constexpr const char* kLayout = std::is_same_v<Out, float> ? "/conv" : "/conv/bf16";
  args.packed_w = builder.weights.get<Out>(
      node.name + kLayout,
      conv_packed_size<Out>(builder.isa, args.kh, args.kw, args.in_c, args.out_c),
      [&](Out* packed) {
        pack_conv(builder.isa, node.weight("weight").data(), args.kh, args.kw, args.in_c,
                  args.out_c, packed);
      });
  return nullptr;
}

// What the shifts of a pixel's channels add to an output channel, over the taps that are inside.
void add_shifts(const Conv& conv, const PixelInput& pixels, const BorderClasses::Taps& rows,
                const BorderClasses::Taps& columns, std::vector<double>& bias) {
  const Weight& weight = conv.node->weight("weight");
  const std::int64_t kh = weight.shape[2];
  const std::int64_t kw = weight.shape[3];
  const float* w = weight.data();
  for (double& sum : bias) {
    for (const double shift : pixels.shift) {
      for (std::int64_t i = rows.begin; i < rows.end; ++i) {
        for (std::int64_t j = columns.begin; j < columns.end; ++j) sum += w[i * kw + j] * shift;
      }
      w += kh * kw;
    }
  }
}

// All that biases depend on: few input sizes differ in it.
std::string format_taps(const BorderClasses& classes) {
  std::string text = "/";
  for (const BorderClasses::Taps& taps : classes.taps)
    text += std::to_string(taps.begin) + '-' + std::to_string(taps.end) + ' ';
  return text;
}

// One bias for each pair of a row's and a column's class.
const float* biases_of_pixels(const Conv& conv, const PixelInput& pixels, const Borders& borders,
                              IntegerLayer& layer, std::int64_t channels) {
  const std::string layout = "/bias" + format_taps(borders.rows) + format_taps(borders.columns);
  const std::size_t sets = borders.rows.taps.size() * borders.columns.taps.size();
  return layer.biases(layout, sets, channels, false, [&](std::size_t set) {
    std::vector<double> bias = layer.own_bias(channels);
    add_shifts(conv, pixels, borders.rows.taps[set / borders.columns.taps.size()],
               borders.columns.taps[set % borders.columns.taps.size()], bias);
    return bias;
  });
}

std::shared_ptr<const Borders> set_weights(const Conv& conv, StepBuilder& builder,
                                           ConvArgs<std::uint8_t, std::uint8_t>& args) {
  const bool pixels = !builder.quantization(conv.input);
  Quantizations maps{{1.0f, 0}, {}, builder.quantization(conv.output)};
  if (!pixels) maps.input = *builder.quantization(conv.input);
  if (conv.residual) maps.residual = builder.quantization(*conv.residual);
  IntegerLayer layer(*conv.node, maps, builder, pixels ? builder.graph.pixels : nullptr);
  args.packed_w = layer.packed(
      "/conv/s8", conv_packed_size_s8(builder.isa, args.kh, args.kw, args.in_c, args.out_c),
      [&](const std::int8_t* w, std::int8_t* packed) {
        pack_conv_s8(builder.isa, w, args.kh, args.kw, args.in_c, args.out_c, packed);
      });
  args.multiplier = layer.multiplier(args.out_c);
  args.padding_value = static_cast<std::uint8_t>(maps.input.zero_point);
  args.column_classes = 1;
  const Requantization result = layer.requantization(conv.activation, false);
  args.residual_scale = result.residual_scale;
  args.least = result.least;
  args.most = result.most;
  if (!pixels) {
    args.bias = layer.bias(args.out_c, true, false);
    return nullptr;
  }
  const Borders borders{conv_border_classes(args.in_h, args.kh, args.stride, args.padding),
                        conv_border_classes(args.in_w, args.kw, args.stride, args.padding)};
  args.bias = biases_of_pixels(conv, *builder.graph.pixels, borders, layer, args.out_c);
  const auto kept = std::make_shared<const Borders>(borders);
  args.row_class = kept->rows.of_window.data();
  args.column_class = kept->columns.of_window.data();
  args.column_classes = static_cast<std::int64_t>(kept->columns.taps.size());
  return kept;
}

template <class In, class Out>
std::int64_t scratch_bytes(const ConvArgs<In, Out>& args, Isa, std::int64_t rows) {
  return bytes_of<Out>(conv_scratch_size<In, Out>(rows, args.in_h, args.in_w, args.in_c, args.kh,
                                                  args.stride, args.padding));
}

std::int64_t scratch_bytes(const ConvArgs<std::uint8_t, std::uint8_t>& args, Isa isa,
                           std::int64_t rows) {
  return conv_scratch_size_u8(isa, rows, args.in_w, args.in_c, args.kh, args.kw, args.stride,
                              args.padding);
}

template <class In, class Out>
std::unique_ptr<Step> make_step(const Conv& conv, StepBuilder& builder) {
  const Node& node = *conv.node;
  const Weight& w = node.weight("weight");
  const Shape& in = builder.shape(conv.input);
  const Shape& out = builder.shape(conv.output);
  const Variant<ConvFn<In, Out>>& variant = select_conv<In, Out>(builder.isa);

  ConvArgs<In, Out> args{};
  args.in_h = in.h;
  args.in_w = in.w;
  args.in_c = in.c;
  args.out_w = out.w;
  args.out_c = out.c;
  args.ld_out = builder.row_stride(conv.output);
  if (conv.residual) args.ld_residual = builder.row_stride(*conv.residual);
  args.kh = w.shape[2];
  args.kw = w.shape[3];
  args.stride = node.attributes.integer("stride");
  args.padding = node.attributes.integer("padding");
  std::shared_ptr<const Borders> borders = set_weights(conv, builder, args);

  Step::Info info;
  info.name = node.name;
  info.kernel = variant.name;
  info.isa = variant.isa;
  info.precision = precision_of(DTypeOf<Out>::kValue);
  info.flops =
      2.0 * static_cast<double>(out.size()) * static_cast<double>(args.kh * args.kw * in.c);
  info.bytes = builder.traffic(conv, weight_bytes(node, DTypeOf<Out>::kValue));
  const RowChunks rows = cut_rows(out.h, info.flops);
  info.chunks = rows.count();
  info.scratch_bytes = scratch_bytes(args, builder.isa, rows.rows_per_chunk);
  return std::make_unique<ConvStep<In, Out>>(std::move(info), conv, variant.run, rows, args,
                                             std::move(borders));
}

}  // namespace

std::unique_ptr<Step> make_conv_step(const Conv& conv, StepBuilder& builder) {
  if (builder.type(conv.output) == DType::kF32) return make_step<float, float>(conv, builder);
  if (builder.type(conv.output) == DType::kU8)
    return make_step<std::uint8_t, std::uint8_t>(conv, builder);
  return with_elements(builder.type(conv.input),
                       [&](auto in) { return make_step<decltype(in), Bfloat16>(conv, builder); });
}

}  // namespace lpn
