// A transposed convolution and the 1x1 convolutions behind it, a few rows at a time: the maps
// between them, the largest of the network, stay in L2 and are never stored.
#include <cassert>
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
  std::int64_t deconv_scratch;  // floats
  std::int64_t tile;            // elements of the largest map's rows of a chunk
};

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
    float* const scratch = context.scratch_of<float>(worker);
    T* tile = reinterpret_cast<T*>(scratch + stages_.deconv_scratch);
    T* other_tile = tile + stages_.tile;

    GroupDeconvArgs<T> deconv = stages_.deconv_args;
    deconv.row_begin = rows_.begin(chunk);
    deconv.row_end = rows_.end(chunk);
    deconv.in = context.tensor<T>(input_);
    deconv.out = tile;
    deconv.scratch = scratch;
    stages_.deconv(deconv);

    const std::int64_t first = deconv.row_begin * deconv.out_w;
    const std::int64_t positions = rows_.end(chunk) * deconv.out_w - first;
    for (PointwiseArgs<T, T> args : stages_.between_args) {
      args.m = positions;
      args.a = tile;
      args.out = other_tile;
      stages_.between(args);
      std::swap(tile, other_tile);
    }
    PointwiseArgs<T, Out> args = stages_.last_args;
    args.m = positions;
    args.a = tile;
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
  const Shape& in = builder.shape(deconv.input);
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
  std::int64_t weights = weight_bytes(*upsample.node);
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
  stages.deconv_scratch = group_deconv_scratch_size<T>(rows.rows_per_chunk, in.h, in.w, in.c,
                                                       args.groups, args.kh, args.stride);
  stages.tile = rows.rows_per_chunk * out.w * widest;
  info.scratch_bytes = bytes_of<float>(stages.deconv_scratch) + bytes_of<T>(2 * stages.tile);
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
  if (in == DType::kU8 || type_of(tensors, output()) == DType::kU8) return false;
  return in == DType::kBf16 || type_of(tensors, output()) == DType::kF32;
}

std::unique_ptr<Step> Upsample::make_step(StepBuilder& builder) const {
  if (builder.type(deconv->input) == DType::kF32)
    return make_upsample_step<float, float>(*this, builder);
  return with_elements(builder.type(output()), [&](auto out) {
    return make_upsample_step<Bfloat16, decltype(out)>(*this, builder);
  });
}

}  // namespace lpn
