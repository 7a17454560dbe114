// 1x1 convolution: over runs of positions where the stride is 1, by output rows otherwise, and by
// columns where the positions alone do not make enough chunks.
#include "engine/ops/steps/pointwise_args.h"
#include "kernels/pointwise/pointwise.h"

namespace lpn {
namespace {

// Chunk i takes rows.begin(i % rows.count()) and on, columns columns.begin(i / rows.count()) and
// on: neighbouring chunks share their weights.
struct TileChunks {
  RowChunks rows;
  RowChunks columns;

  std::int64_t count() const { return rows.count() * columns.count(); }
};

// The weights of at most kPointwiseWidestPanel columns from `column` on, at which a panel starts.
WeightSpan first_panel(const PointwiseArgs& args, std::int64_t column) {
  return {args.packed_b + column * args.k,
          bytes_of<float>(std::min(kPointwiseWidestPanel, args.n - column) * args.k)};
}

class PointwiseStep final : public Step {
 public:
  PointwiseStep(Info info, const Conv& conv, PointwiseFn run, TileChunks chunks,
                std::int64_t row_length, std::int64_t in_row_stride, const PointwiseArgs& args)
      : Step(std::move(info)),
        input_(conv.input),
        output_(conv.output),
        vector_(conv.vector),
        residual_(conv.residual),
        run_(run),
        chunks_(chunks),
        row_length_(row_length),
        in_row_stride_(in_row_stride),
        args_(args) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int) const override {
    PointwiseArgs args = args_;
    if (vector_) {
      (vector_->use == VectorUse::kBias ? args.bias : args.scale) =
          context.tensor<float>(vector_->tensor);
    }
    const std::int64_t column = chunks_.columns.begin(chunk / chunks_.rows.count());
    const std::int64_t column_end = chunks_.columns.end(chunk / chunks_.rows.count());
    const WeightSpan after = weights_after(chunk, column_end);
    args.next_packed_b = static_cast<const float*>(after.data);
    args.next_size = after.bytes / bytes_of<float>(1);
    args.n = column_end - column;
    args.packed_b += column * args.k;
    if (args.bias != nullptr) args.bias += column;
    if (args.scale != nullptr) args.scale += column;

    // Rows of one position each are consecutive: all of the chunk in one call.
    const std::int64_t begin = chunks_.rows.begin(chunk % chunks_.rows.count());
    const std::int64_t end = chunks_.rows.end(chunk % chunks_.rows.count());
    const std::int64_t rows_per_call = row_length_ == 1 ? end - begin : 1;
    args.m = rows_per_call * row_length_;
    const float* in = context.tensor<float>(input_);
    const float* residual = residual_ ? context.tensor<float>(*residual_) : nullptr;
    float* out = context.tensor<float>(output_) + column;
    if (residual != nullptr) residual += column;
    for (std::int64_t row = begin; row < end; row += rows_per_call) {
      const std::int64_t position = row * row_length_;
      args.a = in + row * in_row_stride_;
      args.out = out + position * args.ld_out;
      args.residual = residual == nullptr ? nullptr : residual + position * args.ld_residual;
      run_(args);
    }
  }

 private:
  // What to fetch during a chunk: the first panel of the next columns; of the next step in every
  // fourth of the chunks up to the last, for then every thread takes part.
  WeightSpan weights_after(std::int64_t chunk, std::int64_t column_end) const {
    if (column_end < args_.n) return first_panel(args_, column_end);
    return (info().chunks - 1 - chunk) % 4 == 0 ? next() : WeightSpan{};
  }

  const int input_, output_;
  const std::optional<ChannelVector> vector_;
  const std::optional<int> residual_;
  const PointwiseFn run_;
  const TileChunks chunks_;
  const std::int64_t row_length_;  // positions of one output row; 1 when rows are single positions
  const std::int64_t in_row_stride_;  // floats from one row's input to the next's
  const PointwiseArgs args_;
};

// Every chunk reads its columns' weights once, so it should cover enough rows for that: with 48 of
// them a weight that comes from L3 meets 96 operations, about a hundred times what a core computes
// in the time that L3 takes to deliver it. Where that leaves too few chunks, the columns are cut as
// well, in multiples of every tier's panel.
TileChunks cut_tiles(std::int64_t rows, std::int64_t row_length, std::int64_t columns,
                     double flops) {
  constexpr std::int64_t kLeastPositions = 8 * kPointwiseRowTile;
  const std::int64_t least_rows =
      row_length == 1 ? kLeastPositions : (kLeastPositions + row_length - 1) / row_length;
  const std::int64_t multiple = row_length == 1 ? kPointwiseRowTile : 1;
  const std::int64_t wanted = cut_rows(rows, flops, multiple).count();
  RowChunks row_chunks = cut_rows(rows, flops, multiple);
  row_chunks.rows_per_chunk = std::max(row_chunks.rows_per_chunk, least_rows);
  const std::int64_t groups = (wanted + row_chunks.count() - 1) / row_chunks.count();
  const std::int64_t panels = (columns + kPointwiseWidestPanel - 1) / kPointwiseWidestPanel;
  const std::int64_t panels_per_group = (panels + groups - 1) / groups;
  return {row_chunks, {columns, panels_per_group * kPointwiseWidestPanel}};
}

}  // namespace

PointwiseArgs pointwise_args(const Conv& conv, StepBuilder& builder) {
  const Node& node = *conv.node;
  const std::int64_t in_c = builder.shape(conv.input).c;
  const std::int64_t out_c = builder.shape(conv.output).c;
  PointwiseArgs args{};
  args.k = in_c;
  args.lda = builder.row_stride(conv.input);
  args.n = out_c;
  args.ld_out = builder.row_stride(conv.output);
  if (conv.residual) args.ld_residual = builder.row_stride(*conv.residual);
  args.bias = node.bias();
  args.activation = conv.activation;
  args.packed_b = builder.weights.get<float>(
      node.name + "/pointwise", pointwise_packed_size(builder.isa, in_c, out_c),
      [&](float* packed) {
        pack_pointwise(builder.isa, node.weight("weight").data(), in_c, out_c, packed);
      });
  return args;
}

double pointwise_flops(const Conv& conv, const StepBuilder& builder) {
  return 2.0 * static_cast<double>(builder.shape(conv.output).size()) *
         static_cast<double>(builder.shape(conv.input).c);
}

std::unique_ptr<Step> make_pointwise_step(const Conv& conv, StepBuilder& builder) {
  const Node& node = *conv.node;
  const Shape& in = builder.shape(conv.input);
  const Shape& out = builder.shape(conv.output);
  const std::int64_t stride = node.attributes.integer("stride");
  const Variant<PointwiseFn>& variant = select_pointwise(builder.isa);

  const bool dense = stride == 1;
  const std::int64_t row_length = dense ? 1 : out.w;

  PointwiseArgs args = pointwise_args(conv, builder);
  const std::int64_t in_row_stride = dense ? args.lda : stride * in.w * args.lda;
  // Rows of one position each go to one call, so there the next position is the next row's.
  args.lda = row_length == 1 ? in_row_stride : stride * args.lda;

  Step::Info info;
  info.name = node.name;
  info.kernel = variant.name;
  info.isa = variant.isa;
  info.flops = pointwise_flops(conv, builder);
  // A stride leaves whole positions unread.
  info.bytes = builder.traffic(conv, weight_bytes(node)) -
               static_cast<double>(in.size() - out.positions() * in.c) * sizeof(float);
  const TileChunks chunks =
      cut_tiles(dense ? out.positions() : out.h, row_length, out.c, info.flops);
  info.chunks = chunks.count();
  info.column_groups = chunks.columns.count();
  info.first_weights = first_panel(args, 0);
  return std::make_unique<PointwiseStep>(std::move(info), conv, variant.run, chunks, row_length,
                                         in_row_stride, args);
}

}  // namespace lpn
