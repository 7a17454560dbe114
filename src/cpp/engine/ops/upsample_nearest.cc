// Every pixel repeated `factor` times in both directions, by output rows.
#include <algorithm>

#include "engine/graph/node_kind.h"
#include "engine/graph/operation.h"
#include "engine/plan/step_builder.h"

namespace lpn {
namespace {

std::int64_t channels(const Node&, const std::vector<std::int64_t>& inputs) { return inputs[0]; }

Shape shape(const Node& node, const std::vector<Shape>& inputs, std::int64_t out_channels) {
  const std::int64_t factor = node.attributes.integer("factor");
  return {factor * inputs[0].h, factor * inputs[0].w, out_channels};
}

struct UpsampleNearest final : Operation {
  UpsampleNearest(const Node& of, int result)
      : Operation(of), input(of.inputs[0]), output(result) {}

  std::vector<int> reads() const override { return {input}; }
  std::vector<int> writes() const override { return {output}; }
  void redirect(int from, int to) override {
    redirect_tensor(input, from, to);
    redirect_tensor(output, from, to);
  }
  bool takes_stride(int /*tensor*/) const override { return true; }
  bool takes_types(const std::vector<Tensor>& tensors) const override {
    return of_one_float(tensors, {input, output}) || of_same_bytes(tensors, {input, output});
  }
  std::unique_ptr<Step> make_step(StepBuilder& builder) const override;

  int input;
  int output;
};

void emit(const Node& node, int output, OperationGraph& graph) {
  graph.add(std::make_unique<UpsampleNearest>(node, output));
}

// Elements from one position to the next.
struct Strides {
  std::int64_t in, out;
};

template <class T>
class UpsampleNearestStep final : public Step {
 public:
  UpsampleNearestStep(Info info, const UpsampleNearest& upsample, RowChunks rows, const Shape& in,
                      std::int64_t factor, const Strides& strides)
      : Step(std::move(info)),
        input_(upsample.input),
        output_(upsample.output),
        rows_(rows),
        in_(in),
        factor_(factor),
        strides_(strides) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int) const override {
    T* out = context.tensor<T>(output_) + rows_.begin(chunk) * factor_ * in_.w * strides_.out;
    for (std::int64_t row = rows_.begin(chunk); row < rows_.end(chunk); ++row) {
      const T* in = context.tensor<T>(input_) + row / factor_ * in_.w * strides_.in;
      for (std::int64_t x = 0; x < in_.w; ++x, in += strides_.in) {
        for (std::int64_t i = 0; i < factor_; ++i, out += strides_.out)
          std::copy(in, in + in_.c, out);
      }
    }
  }

 private:
  const int input_, output_;
  const RowChunks rows_;
  const Shape in_;
  const std::int64_t factor_;
  const Strides strides_;
};

std::unique_ptr<Step> UpsampleNearest::make_step(StepBuilder& builder) const {
  constexpr double kRelativeCost = 16;  // an element of memory traffic out, a part of one in
  const Shape& out = builder.shape(output);
  Step::Info info;
  info.name = node->name;
  info.kernel = "upsample_nearest";
  info.bytes = builder.traffic(*this, 0);
  const RowChunks rows = cut_rows(out.h, kRelativeCost * static_cast<double>(out.size()));
  info.chunks = rows.count();
  const Strides strides{builder.row_stride(input), builder.row_stride(output)};
  return with_any_elements(builder.type(output), [&](auto zero) -> std::unique_ptr<Step> {
    return std::make_unique<UpsampleNearestStep<decltype(zero)>>(
        std::move(info), *this, rows, builder.shape(input), node->attributes.integer("factor"),
        strides);
  });
}

}  // namespace

NodeKind upsample_nearest_kind() {
  NodeKind kind;
  kind.name = "upsample_nearest";
  kind.attributes = {integer_attribute("factor", 1)};
  kind.channels = channels;
  kind.shape = shape;
  kind.emit = emit;
  return kind;
}

}  // namespace lpn
