// 1x1 convolution: over runs of positions where the stride is 1, by output rows otherwise, and by
// columns where the positions alone do not make enough chunks.
#include "engine/ops/steps/pointwise_args.h"
#include "kernels/pointwise/pointwise.h"
#include "kernels/term_group.h"

namespace lpn {
namespace {

// Chunk i takes rows.begin(i % rows.count()) and on, columns columns.begin(i / rows.count()) and
// on: neighbouring chunks share their weights.
struct TileChunks {
  RowChunks rows;
  RowChunks columns;

  std::int64_t count() const { return rows.count() * columns.count(); }
};

// Of packed weights, in whole panels.
template <class In>
std::int64_t bytes_per_column(Isa isa, std::int64_t k) {
  return pointwise_packed_size<In>(isa, k, kPointwiseWidestPanel) / kPointwiseWidestPanel *
         static_cast<std::int64_t>(sizeof(In));
}

// The weights of at most kPointwiseWidestPanel columns from `column` on, at which a panel starts.
template <class In, class Out>
WeightSpan first_panel(const PointwiseArgs<In, Out>& args, std::int64_t column_bytes,
                       std::int64_t column) {
  return {reinterpret_cast<const std::byte*>(args.packed_b) + column * column_bytes,
          std::min(kPointwiseWidestPanel, args.n - column) * column_bytes};
}

// What a step does with a block's vector and its columns.
template <class In, class Out>
class Columns {
 public:
  Columns(const Conv&, const StepBuilder&) {}

  // Bytes of scratch for a call over at most m rows.
  std::int64_t scratch_bytes(Isa, std::int64_t, const PointwiseArgs<In, Out>&) const { return 0; }

  // Restricts args to its first n columns after `column` others; `vector` may be null.
  void take(PointwiseArgs<In, Out>& args, const ChannelVector* vector, const float* values,
            std::int64_t column, std::int64_t n, std::byte*) const {
    if (vector != nullptr) (vector->use == VectorUse::kBias ? args.bias : args.scale) = values;
    args.n = n;
    if (args.bias != nullptr) args.bias += column;
    if (args.scale != nullptr) args.scale += column;
  }
};

template <class Out>
class Columns<std::uint8_t, Out> {
 public:
  Columns(const Conv& conv, const StepBuilder& builder)
      : per_unit_(1.0f / unit_of(conv, builder)),
        vector_bytes_(bytes_of<float>(builder.shape(conv.output).c)) {}

  std::int64_t scratch_bytes(Isa isa, std::int64_t m,
                             const PointwiseArgs<std::uint8_t, Out>& args) const {
    return aligned(vector_bytes_) + pointwise_scratch_size(isa, m, args.k);
  }

  void take(PointwiseArgs<std::uint8_t, Out>& args, const ChannelVector* vector,
            const float* values, std::int64_t column, std::int64_t n, std::byte* scratch) const {
    args.n = n;
    args.multiplier += column;
    args.bias += column;
    if (vector != nullptr && vector->use == VectorUse::kScale) args.gate = values + column;
    if (vector != nullptr && vector->use == VectorUse::kBias) {
      // In the result's units, with the zero points' part.
      auto* const bias = reinterpret_cast<float*>(scratch);
      for (std::int64_t i = 0; i < n; ++i) bias[i] = values[column + i] * per_unit_ + args.bias[i];
      args.bias = bias;
    }
    args.scratch = scratch + aligned(vector_bytes_);
  }

 private:
  static float unit_of(const Conv& conv, const StepBuilder& builder) {
    const std::optional<Quantization> output = builder.quantization(conv.output);
    return output ? output->scale : 1.0f;
  }
  static std::int64_t aligned(std::int64_t bytes) {
    constexpr auto kLine = static_cast<std::int64_t>(kAlignment);
    return (bytes + kLine - 1) / kLine * kLine;
  }

  const float per_unit_;
  const std::int64_t vector_bytes_;
};

template <class In, class Out>
class PointwiseStep final : public Step {
 public:
  PointwiseStep(Info info, const Conv& conv, PointwiseFn<In, Out> run, TileChunks chunks,
                std::int64_t row_length, std::int64_t in_row_stride, std::int64_t column_bytes,
                const Columns<In, Out>& columns, const PointwiseArgs<In, Out>& args)
      : Step(std::move(info)),
        input_(conv.input),
        output_(conv.output),
        vector_(conv.vector),
        residual_(conv.residual),
        run_(run),
        chunks_(chunks),
        row_length_(row_length),
        in_row_stride_(in_row_stride),
        column_bytes_(column_bytes),
        columns_(columns),
        args_(args) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int worker) const override {
    PointwiseArgs<In, Out> args = args_;
    const std::int64_t column = chunks_.columns.begin(chunk / chunks_.rows.count());
    const std::int64_t column_end = chunks_.columns.end(chunk / chunks_.rows.count());
    const WeightSpan after = weights_after(chunk, column_end);
    args.next_weights = after.data;
    args.next_bytes = after.bytes;
    args.packed_b =
        static_cast<decltype(args.packed_b)>(first_panel(args, column_bytes_, column).data);
    columns_.take(args, vector_ ? &*vector_ : nullptr,
                  vector_ ? context.tensor<float>(vector_->tensor) : nullptr, column,
                  column_end - column, context.scratch_of<std::byte>(worker));

    // Rows of one position each are consecutive: all of the chunk in one call.
    const std::int64_t begin = chunks_.rows.begin(chunk % chunks_.rows.count());
    const std::int64_t end = chunks_.rows.end(chunk % chunks_.rows.count());
    const std::int64_t rows_per_call = row_length_ == 1 ? end - begin : 1;
    args.m = rows_per_call * row_length_;
    const In* in = context.tensor<In>(input_);
    using Residual = ResidualOf<In, Out>;
    const Residual* residual = residual_ ? context.tensor<Residual>(*residual_) : nullptr;
    Out* out = context.tensor<Out>(output_) + column;
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
    if (column_end < args_.n) return first_panel(args_, column_bytes_, column_end);
    return (info().chunks - 1 - chunk) % 4 == 0 ? next() : WeightSpan{};
  }

  const int input_, output_;
  const std::optional<ChannelVector> vector_;
  const std::optional<int> residual_;
  const PointwiseFn<In, Out> run_;
  const TileChunks chunks_;
  const std::int64_t row_length_;  // positions of one output row; 1 when rows are single positions
  const std::int64_t in_row_stride_;  // elements from one row's input to the next's
  const std::int64_t column_bytes_;   // of packed weights
  const Columns<In, Out> columns_;
  const PointwiseArgs<In, Out> args_;
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

template <class In, class Out>
std::unique_ptr<Step> make_step(const Conv& conv, StepBuilder& builder) {
  const Node& node = *conv.node;
  const Shape& in = builder.shape(conv.input);
  const Shape& out = builder.shape(conv.output);
  const std::int64_t stride = node.attributes.integer("stride");
  const Variant<PointwiseFn<In, Out>>& variant = select_pointwise<In, Out>(builder.isa);

  const bool dense = stride == 1;
  const std::int64_t row_length = dense ? 1 : out.w;

  PointwiseArgs<In, Out> args = pointwise_args<In, Out>(conv, builder);
  const std::int64_t in_row_stride = dense ? args.lda : stride * in.w * args.lda;
  // Rows of one position each go to one call, so there the next position is the next row's.
  args.lda = row_length == 1 ? in_row_stride : stride * args.lda;

  Step::Info info;
  info.name = node.name;
  info.kernel = variant.name;
  info.isa = variant.isa;
  info.precision = precision_of(DTypeOf<In>::kValue);
  info.flops = pointwise_flops(conv, builder);
  // A stride leaves whole positions unread.
  info.bytes = builder.traffic(conv, weight_bytes(node, DTypeOf<In>::kValue)) -
               static_cast<double>(in.size() - out.positions() * in.c) * sizeof(In);
  const TileChunks chunks =
      cut_tiles(dense ? out.positions() : out.h, row_length, out.c, info.flops);
  info.chunks = chunks.count();
  info.column_groups = chunks.columns.count();
  const std::int64_t column_bytes = bytes_per_column<In>(builder.isa, args.k);
  info.first_weights = first_panel(args, column_bytes, 0);
  const Columns<In, Out> columns(conv, builder);
  const std::int64_t positions = row_length == 1 ? chunks.rows.rows_per_chunk : row_length;
  info.scratch_bytes = columns.scratch_bytes(builder.isa, positions, args);
  return std::make_unique<PointwiseStep<In, Out>>(std::move(info), conv, variant.run, chunks,
                                                  row_length, in_row_stride, column_bytes, columns,
                                                  args);
}

}  // namespace

double pointwise_flops(const Conv& conv, const StepBuilder& builder) {
  return 2.0 * static_cast<double>(builder.shape(conv.output).size()) *
         static_cast<double>(builder.shape(conv.input).c);
}

std::unique_ptr<Step> make_pointwise_step(const Conv& conv, StepBuilder& builder) {
  const DType out = builder.type(conv.output);
  switch (builder.type(conv.input)) {
    case DType::kU8:
      return out == DType::kU8 ? make_step<std::uint8_t, std::uint8_t>(conv, builder)
                               : make_step<std::uint8_t, float>(conv, builder);
    case DType::kBf16:
      return out == DType::kBf16 ? make_step<Bfloat16, Bfloat16>(conv, builder)
                                 : make_step<Bfloat16, float>(conv, builder);
    default:
      return make_step<float, float>(conv, builder);
  }
}

}  // namespace lpn
