// A transposed convolution and the 1x1 convolutions behind it, a few rows at a time: the maps
// between them, the largest of the network, stay in L2 and are never stored.
#include <vector>

#include "engine/steps/group_deconv_args.h"
#include "engine/steps/pointwise_args.h"

namespace lpn {
namespace {

class UpsampleStep final : public Step {
 public:
  struct Stages {
    GroupDeconvFn deconv;
    GroupDeconvArgs deconv_args;
    PointwiseFn pointwise;
    std::vector<PointwiseArgs> pointwise_args;
    std::int64_t deconv_scratch;  // floats
    std::int64_t tile;            // floats of the largest map's rows of a chunk
  };

  UpsampleStep(Info info, const Operation& operation, RowChunks rows, Stages stages)
      : Step(std::move(info)),
        input_(operation.input),
        output_(operation.output),
        rows_(rows),
        stages_(std::move(stages)) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int worker) const override {
    float* scratch = context.scratch_of(worker);
    float* tile = scratch + stages_.deconv_scratch;
    float* other_tile = tile + stages_.tile;

    GroupDeconvArgs deconv = stages_.deconv_args;
    deconv.row_begin = rows_.begin(chunk);
    deconv.row_end = rows_.end(chunk);
    deconv.in = context.tensor(input_);
    deconv.out = tile;
    deconv.scratch = scratch;
    stages_.deconv(deconv);

    const std::int64_t first = deconv.row_begin * deconv.out_w;
    for (std::size_t i = 0; i < stages_.pointwise_args.size(); ++i) {
      const bool last = i + 1 == stages_.pointwise_args.size();
      PointwiseArgs args = stages_.pointwise_args[i];
      args.m = rows_.end(chunk) * deconv.out_w - first;
      args.a = tile;
      args.out = last ? context.tensor(output_) + first * args.n : other_tile;
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

std::unique_ptr<Step> make_upsample_step(const Operation& operation, StepBuilder& builder) {
  const Variant<GroupDeconvFn>& deconv = select_group_deconv(builder.isa);
  const Variant<PointwiseFn>& pointwise = select_pointwise(builder.isa);
  const Shape& in = builder.shape(operation.input);
  const Shape& out = builder.shape(operation.output);

  UpsampleStep::Stages stages{};
  stages.deconv = deconv.run;
  stages.deconv_args = group_deconv_args(operation.stages[0], builder);
  stages.pointwise = pointwise.run;

  Step::Info info;
  info.name = operation.node->name;
  info.kernel = std::string(deconv.name) + " + " + pointwise.name;
  info.isa = pointwise.isa;
  info.flops = group_deconv_flops(operation.stages[0], builder);
  std::int64_t weights = weight_count(*operation.node);
  std::int64_t widest = stages.deconv_args.out_c;
  for (std::size_t i = 1; i < operation.stages.size(); ++i) {
    const Operation& stage = operation.stages[i];
    stages.pointwise_args.push_back(pointwise_args(stage, builder));
    widest = std::max(widest, stages.pointwise_args.back().n);
    info.name += " + " + stage.node->name;
    info.flops += pointwise_flops(stage, builder);
    weights += weight_count(*stage.node);
  }
  info.bytes = builder.traffic(operation, weights);
  // Whole strides read the fewest input rows twice, and few rows keep the tiles in L2.
  const GroupDeconvArgs& args = stages.deconv_args;
  const RowChunks rows = cut_rows(out.h, info.flops, args.stride);
  info.chunks = rows.count();
  stages.deconv_scratch = group_deconv_scratch_size(rows.rows_per_chunk, in.h, in.w, in.c,
                                                    args.groups, args.kh, args.stride);
  stages.tile = rows.rows_per_chunk * out.w * widest;
  info.scratch = stages.deconv_scratch + 2 * stages.tile;
  return std::make_unique<UpsampleStep>(std::move(info), operation, rows, std::move(stages));
}

}  // namespace lpn
