// A transposed convolution and the 1x1 convolutions behind it, a few rows at a time: the maps
// between them, the largest of the network, stay in L2 and are never stored.
#include <algorithm>
#include <cassert>
#include <iterator>
#include <vector>

#include "engine/ops/conv_transpose2d.h"
#include "engine/ops/steps/pointwise_args.h"

namespace lpn {
namespace {

// Maps in between are of the input's type, T.
template <class T, class Out>
struct Stages {
  GroupDeconvFn<T> deconv;
  GroupDeconvArgs<T> deconv_args;
  PointwiseFn<T, T> between;
  std::vector<PointwiseArgs<T, T>> between_args;
  PointwiseFn<T, Out> last;
  PointwiseArgs<T, Out> last_args;
  // Of a worker's scratch, in bytes: the deconvolution's, one of two tiles, each the largest map's
  // rows of a chunk, and the 1x1 convolutions'.
  std::int64_t deconv_scratch, tile, pointwise_scratch;
};

constexpr std::int64_t align(std::int64_t bytes) {
  constexpr auto kLine = static_cast<std::int64_t>(kAlignment);
  return (bytes + kLine - 1) / kLine * kLine;
}

template <class In, class Out>
void set_scratch(PointwiseArgs<In, Out>&, std::byte*) {}
template <class Out>
void set_scratch(PointwiseArgs<std::uint8_t, Out>& args, std::byte* scratch) {
  args.scratch = scratch;
}

template <class T, class Out>
class UpsampleStep final : public Step {
 public:
  UpsampleStep(Info info, const Upsample& operation, RowChunks rows, Stages<T, Out> stages)
      : Step(std::move(info)),
        input_(operation.deconv->input),
        output_(operation.output()),
        rows_(rows),
        stages_(std::move(stages)) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int worker) const override {
    std::byte* const scratch = context.scratch_of<std::byte>(worker);
    std::byte* const tiles = scratch + stages_.deconv_scratch;
    std::byte* const products = tiles + 2 * stages_.tile;
    T* tile = reinterpret_cast<T*>(tiles);
    T* other_tile = reinterpret_cast<T*>(tiles + stages_.tile);

    GroupDeconvArgs<T> deconv = stages_.deconv_args;
    deconv.row_begin = rows_.begin(chunk);
    deconv.row_end = rows_.end(chunk);
    deconv.in = context.tensor<T>(input_);
    deconv.out = tile;
    deconv.scratch = reinterpret_cast<decltype(deconv.scratch)>(scratch);
    stages_.deconv(deconv);

    const std::int64_t first = deconv.row_begin * deconv.out_w;
    const std::int64_t positions = rows_.end(chunk) * deconv.out_w - first;
    for (PointwiseArgs<T, T> args : stages_.between_args) {
      args.m = positions;
      args.a = tile;
      args.out = other_tile;
      set_scratch(args, products);
      stages_.between(args);
      std::swap(tile, other_tile);
    }
    PointwiseArgs<T, Out> args = stages_.last_args;
    args.m = positions;
    args.a = tile;
    set_scratch(args, products);
    args.out = context.tensor<Out>(output_) + first * args.ld_out;
    stages_.last(args);
  }

 private:
  const int input_, output_;
  const RowChunks rows_;
  const Stages<T, Out> stages_;
};

template <class T, class Out>
std::unique_ptr<Step> make_upsample_step(const Upsample& upsample, StepBuilder& builder) {
  assert(!upsample.projections.empty());
  const Variant<GroupDeconvFn<T>>& deconv_variant = select_group_deconv<T>(builder.isa);
  const Variant<PointwiseFn<T, T>>& between_variant = select_pointwise<T, T>(builder.isa);
  const Variant<PointwiseFn<T, Out>>& last_variant = select_pointwise<T, Out>(builder.isa);
  const ConvTranspose& deconv = *upsample.deconv;
  const Shape& out = builder.shape(upsample.output());

  Stages<T, Out> stages{};
  stages.deconv = deconv_variant.run;
  stages.deconv_args = deconv.kernel_args<T>(builder);
  stages.between = between_variant.run;
  stages.last = last_variant.run;
  stages.last_args = pointwise_args<T, Out>(*upsample.projections.back(), builder);

  Step::Info info;
  info.name = upsample.node->name;
  info.kernel = deconv_variant.name;
  info.isa = last_variant.isa;
  info.precision = precision_of(DTypeOf<T>::kValue);
  info.flops = deconv.flops(builder);
  constexpr DType kFactors = DTypeOf<T>::kValue;
  std::int64_t weights =
      weight_bytes(*upsample.node, kFactors == DType::kU8 ? DType::kS8 : DType::kF32);
  std::int64_t widest = stages.deconv_args.out_c;
  for (const std::unique_ptr<Conv>& projection : upsample.projections) {
    if (projection != upsample.projections.back()) {
      stages.between_args.push_back(pointwise_args<T, T>(*projection, builder));
      widest = std::max(widest, stages.between_args.back().n);
    }
    info.name += " + " + projection->node->name;
    info.flops += pointwise_flops(*projection, builder);
    weights += weight_bytes(*projection->node, DTypeOf<T>::kValue);
  }
  if (!stages.between_args.empty() && DTypeOf<T>::kValue != DTypeOf<Out>::kValue)
    info.kernel += std::string(" + ") + between_variant.name;
  info.kernel += std::string(" + ") + last_variant.name;
  info.bytes = builder.traffic(upsample, weights);
  // Whole strides read the fewest input rows twice, and few rows keep the tiles in L2.
  const GroupDeconvArgs<T>& args = stages.deconv_args;
  const RowChunks rows = cut_rows(out.h, info.flops, args.stride);
  info.chunks = rows.count();
  stages.deconv_scratch = align(deconv.scratch_bytes<T>(rows.rows_per_chunk, builder));
  stages.tile = align(bytes_of<T>(rows.rows_per_chunk * out.w * widest));
  if (kFactors == DType::kU8) {
    stages.pointwise_scratch =
        pointwise_scratch_size(builder.isa, rows.rows_per_chunk * out.w, widest);
  }
  info.scratch_bytes = stages.deconv_scratch + 2 * stages.tile + stages.pointwise_scratch;
  return std::make_unique<UpsampleStep<T, Out>>(std::move(info), upsample, rows, std::move(stages));
}

}  // namespace

// Of tensors that others touch.
void Upsample::redirect(int from, int to) {
  redirect_tensor(deconv->input, from, to);
  redirect_tensor(projections.empty() ? deconv->output : projections.back()->output, from, to);
}

bool Upsample::keeps_float() const {
  return deconv->keeps_float() ||
         std::any_of(projections.begin(), projections.end(),
                     [](const auto& projection) { return projection->keeps_float(); });
}

bool Upsample::takes_types(const std::vector<Tensor>& tensors) const {
  const DType in = type_of(tensors, deconv->input);
  if (in == DType::kU8) return takes_bytes(tensors);
  if (type_of(tensors, output()) == DType::kU8) return false;
  return in == DType::kBf16 || type_of(tensors, output()) == DType::kF32;
}

bool Upsample::takes_bytes(const std::vector<Tensor>& tensors) const {
  if (projections.empty()) return deconv->takes_types(tensors);
  const auto last = std::prev(projections.end());
  return deconv->takes_bytes(tensors) &&
         std::all_of(projections.begin(), last,
                     [&](const auto& conv) {
                       return sums_fit(*conv->node) && all_quantized(tensors, {conv->output});
                     }) &&
         sums_fit(*(*last)->node);
}

std::unique_ptr<Step> Upsample::make_step(StepBuilder& builder) const {
  const DType out = builder.type(output());
  switch (builder.type(deconv->input)) {
    case DType::kU8:
      return out == DType::kU8 ? make_upsample_step<std::uint8_t, std::uint8_t>(*this, builder)
                               : make_upsample_step<std::uint8_t, float>(*this, builder);
    case DType::kBf16:
      return out == DType::kBf16 ? make_upsample_step<Bfloat16, Bfloat16>(*this, builder)
                                 : make_upsample_step<Bfloat16, float>(*this, builder);
    default:
      return make_upsample_step<float, float>(*this, builder);
  }
}

}  // namespace lpn
