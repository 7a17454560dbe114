// 1x1 convolution: over runs of positions where the stride is 1, by output rows otherwise.
#include "engine/step_builder.h"
#include "kernels/pointwise/pointwise.h"

namespace lpn {
namespace {

class PointwiseStep final : public Step {
 public:
  PointwiseStep(Info info, const Operation& operation, PointwiseFn run, RowChunks rows,
                std::int64_t row_length, std::int64_t in_row_stride, const PointwiseArgs& args)
      : Step(std::move(info)),
        operation_(operation),
        run_(run),
        rows_(rows),
        row_length_(row_length),
        in_row_stride_(in_row_stride),
        args_(args) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int) const override {
    const float* in = context.tensor(operation_.input);
    const float* residual = context.tensor(operation_.residual);
    const float* vector = context.tensor(operation_.vector);
    float* out = context.tensor(operation_.output);
    PointwiseArgs args = args_;
    if (vector != nullptr) {
      (operation_.attention->kind == NodeKind::kGcBlock ? args.bias : args.scale) = vector;
    }
    // Rows of one position each are consecutive: all of the chunk in one call.
    const std::int64_t begin = rows_.begin(chunk);
    const std::int64_t end = rows_.end(chunk);
    const std::int64_t rows_per_call = row_length_ == 1 ? end - begin : 1;
    args.m = rows_per_call * row_length_;
    for (std::int64_t row = begin; row < end; row += rows_per_call) {
      args.a = in + row * in_row_stride_;
      args.out = out + row * row_length_ * args.n;
      args.residual = residual == nullptr ? nullptr : residual + row * row_length_ * args.n;
      run_(args);
    }
  }

 private:
  const Operation operation_;
  const PointwiseFn run_;
  const RowChunks rows_;
  const std::int64_t row_length_;  // positions of one output row; 1 when rows are single positions
  const std::int64_t in_row_stride_;  // floats from one row's input to the next's
  const PointwiseArgs args_;
};

}  // namespace

std::unique_ptr<Step> make_pointwise_step(const Operation& operation, StepBuilder& builder) {
  const Node& node = *operation.node;
  const Shape& in = builder.shape(operation.input);
  const Shape& out = builder.shape(operation.output);
  const std::int64_t stride = node.attributes.stride;
  const Variant<PointwiseFn>& variant = select_pointwise(builder.isa);

  const bool dense = stride == 1;
  const std::int64_t row_length = dense ? 1 : out.w;
  const std::int64_t in_row_stride = dense ? in.c : stride * in.w * in.c;

  PointwiseArgs args{};
  // Rows of one position each go to one call, so there the next position is the next row's.
  args.lda = row_length == 1 ? in_row_stride : stride * in.c;
  args.ld_out = args.ld_residual = out.c;
  args.k = in.c;
  args.n = out.c;
  args.bias = node.bias();
  args.activation = operation.activation;
  args.packed_b = builder.weights.get(
      node.name + "/pointwise", pointwise_packed_size(builder.isa, in.c, out.c),
      [&](float* packed) {
        pack_pointwise(builder.isa, node.weight("weight").data(), in.c, out.c, packed);
      });

  Step::Info info;
  info.name = node.name;
  info.kernel = variant.name;
  info.isa = variant.isa;
  info.flops = 2.0 * static_cast<double>(out.size()) * static_cast<double>(in.c);
  const RowChunks rows = dense ? cut_rows(out.positions(), info.flops, kPointwiseRowTile)
                               : cut_rows(out.h, info.flops);
  info.chunks = rows.count();
  return std::make_unique<PointwiseStep>(std::move(info), operation, variant.run, rows, row_length,
                                         in_row_stride, args);
}

}  // namespace lpn
