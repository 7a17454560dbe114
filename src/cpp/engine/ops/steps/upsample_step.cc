// A transposed convolution and the 1x1 convolutions behind it, a few rows at a time: the maps
// between them, the largest of the network, stay in L2 and are never stored.
#include <vector>

#include "engine/ops/conv_transpose2d.h"
#include "engine/ops/steps/pointwise_args.h"

namespace lpn {
namespace {

class UpsampleStep final : public Step {
 public:
  struct Stages {
    GroupDeconvFn<float> deconv;
    GroupDeconvArgs<float> deconv_args;
    PointwiseFn<float, float> pointwise;
    std::vector<PointwiseArgs<float, float>> pointwise_args;
    std::int64_t deconv_scratch;  // floats
    std::int64_t tile;            // floats of the largest map's rows of a chunk
  };

  UpsampleStep(Info info, const Upsample& operation, RowChunks rows, Stages stages)
      : Step(std::move(info)),
        input_(operation.deconv->input),
        output_(operation.output()),
        rows_(rows),
        stages_(std::move(stages)) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int worker) const override {
    float* scratch = context.scratch_of<float>(worker);
    float* tile = scratch + stages_.deconv_scratch;
    float* other_tile = tile + stages_.tile;

    GroupDeconvArgs<float> deconv = stages_.deconv_args;
    deconv.row_begin = rows_.begin(chunk);
    deconv.row_end = rows_.end(chunk);
    deconv.in = context.tensor<float>(input_);
    deconv.out = tile;
    deconv.scratch = scratch;
    stages_.deconv(deconv);

    const std::int64_t first = deconv.row_begin * deconv.out_w;
    for (std::size_t i = 0; i < stages_.pointwise_args.size(); ++i) {
      const bool last = i + 1 == stages_.pointwise_args.size();
      PointwiseArgs<float, float> args = stages_.pointwise_args[i];
      args.m = rows_.end(chunk) * deconv.out_w - first;
      args.a = tile;
      args.out = last ? context.tensor<float>(output_) + first * args.ld_out : other_tile;
      stages_.pointwise(args);
      std::swap(tile, other_tile);
    }
  }

 private:
  const int input_, output_;
  const RowChunks rows_;
  const Stages stages_;
};

}  // namespace

std::unique_ptr<Step> Upsample::make_step(StepBuilder& builder) const {
  const Variant<GroupDeconvFn<float>>& deconv_variant = select_group_deconv<float>(builder.isa);
  const Variant<PointwiseFn<float, float>>& pointwise_variant =
      select_pointwise<float, float>(builder.isa);
  const Shape& in = builder.shape(deconv->input);
  const Shape& out = builder.shape(output());

  UpsampleStep::Stages stages{};
  stages.deconv = deconv_variant.run;
  stages.deconv_args = deconv->kernel_args<float>(builder);
  stages.pointwise = pointwise_variant.run;

  Step::Info info;
  info.name = node->name;
  info.kernel = std::string(deconv_variant.name) + " + " + pointwise_variant.name;
  info.isa = pointwise_variant.isa;
  info.flops = deconv->flops(builder);
  std::int64_t weights = weight_bytes(*node);
  std::int64_t widest = stages.deconv_args.out_c;
  for (const std::unique_ptr<const Conv>& projection : projections) {
    stages.pointwise_args.push_back(pointwise_args<float, float>(*projection, builder));
    widest = std::max(widest, stages.pointwise_args.back().n);
    info.name += " + " + projection->node->name;
    info.flops += pointwise_flops(*projection, builder);
    weights += weight_bytes(*projection->node);
  }
  info.bytes = builder.traffic(*this, weights);
  // Whole strides read the fewest input rows twice, and few rows keep the tiles in L2.
  const GroupDeconvArgs<float>& args = stages.deconv_args;
  const RowChunks rows = cut_rows(out.h, info.flops, args.stride);
  info.chunks = rows.count();
  stages.deconv_scratch = group_deconv_scratch_size<float>(rows.rows_per_chunk, in.h, in.w, in.c,
                                                           args.groups, args.kh, args.stride);
  stages.tile = rows.rows_per_chunk * out.w * widest;
  info.scratch_bytes = bytes_of<float>(stages.deconv_scratch + 2 * stages.tile);
  return std::make_unique<UpsampleStep>(std::move(info), *this, rows, std::move(stages));
}

}  // namespace lpn
