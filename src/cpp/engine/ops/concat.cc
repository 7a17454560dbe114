// Maps of one size next to each other along their channels, by rows: what is left to copy after
// elide_copies.
#include <algorithm>

#include "base/check.h"
#include "engine/graph/node_kind.h"
#include "engine/graph/operation.h"
#include "engine/plan/step_builder.h"

namespace lpn {
namespace {

std::int64_t channels(const Node& node, const std::vector<std::int64_t>& inputs) {
  std::int64_t sum = 0;
  for (const std::int64_t c : inputs) sum += c;
  LPN_CHECK(sum <= kMaxAttribute, describe(node), ": the inputs have ", sum,
            " channels together; at most ", kMaxAttribute, " are supported");
  return sum;
}

Shape shape(const Node& node, const std::vector<Shape>& inputs, std::int64_t out_channels) {
  for (const Shape& input : inputs) {
    LPN_CHECK(input.h == inputs[0].h && input.w == inputs[0].w, describe(node),
              ": the inputs have shapes ", inputs[0], " and ", input,
              "; their heights and widths must be the same");
  }
  return {inputs[0].h, inputs[0].w, out_channels};
}

struct Concat final : Operation {
  Concat(const Node& of, int result, std::vector<ChannelCopy> copied)
      : Operation(of), output(result), parts(std::move(copied)) {}

  std::vector<int> reads() const override {
    std::vector<int> tensors;
    for (const ChannelCopy& part : parts) tensors.push_back(part.input);
    return tensors;
  }
  std::vector<int> writes() const override { return {output}; }
  void redirect(int from, int to) override {
    for (ChannelCopy& part : parts) redirect_tensor(part.input, from, to);
    redirect_tensor(output, from, to);
  }
  bool takes_stride(int /*tensor*/) const override { return true; }
  bool takes_types(const std::vector<Tensor>& tensors) const override {
    std::vector<int> touched = reads();
    touched.push_back(output);
    return of_one_float(tensors, touched) || of_same_bytes(tensors, touched);
  }
  std::vector<ChannelCopy>* copies() override { return &parts; }
  std::unique_ptr<Step> make_step(StepBuilder& builder) const override;

  int output;
  std::vector<ChannelCopy> parts;
};

void emit(const Node& node, int output, OperationGraph& graph) {
  std::vector<ChannelCopy> parts;
  std::int64_t channel = 0;
  for (const int input : node.inputs) {
    parts.push_back({input, channel});
    channel += graph.tensors[static_cast<std::size_t>(input)].channels;
  }
  graph.add(std::make_unique<Concat>(node, output, std::move(parts)));
}

struct Part {
  int input;
  std::int64_t stride, channels;
  std::int64_t channel;  // of the result, the first
};

template <class T>
class ConcatStep final : public Step {
 public:
  ConcatStep(Info info, std::vector<Part> parts, int output, std::int64_t stride, RowChunks rows,
             std::int64_t row_length)
      : Step(std::move(info)),
        parts_(std::move(parts)),
        output_(output),
        stride_(stride),
        rows_(rows),
        row_length_(row_length) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int) const override {
    const std::int64_t begin = rows_.begin(chunk) * row_length_;
    const std::int64_t end = rows_.end(chunk) * row_length_;
    for (const Part& part : parts_) {
      const T* in = context.tensor<T>(part.input) + begin * part.stride;
      T* out = context.tensor<T>(output_) + begin * stride_ + part.channel;
      for (std::int64_t i = begin; i < end; ++i, in += part.stride, out += stride_)
        std::copy(in, in + part.channels, out);
    }
  }

 private:
  const std::vector<Part> parts_;
  const int output_;
  const std::int64_t stride_;
  const RowChunks rows_;
  const std::int64_t row_length_;
};

std::unique_ptr<Step> Concat::make_step(StepBuilder& builder) const {
  constexpr double kRelativeCost = 16;  // an element of memory traffic in, one out
  const Shape& out = builder.shape(output);
  std::vector<Part> copied;
  std::int64_t values = 0;
  for (const ChannelCopy& part : parts) {
    const Shape& in = builder.shape(part.input);
    copied.push_back({part.input, builder.row_stride(part.input), in.c, part.channel});
    values += in.size();
  }
  Step::Info info;
  info.name = node->name;
  info.kernel = "concat";
  info.bytes = static_cast<double>(2 * values * size_of(builder.type(output)));
  const RowChunks rows = cut_rows(out.h, kRelativeCost * static_cast<double>(values));
  info.chunks = rows.count();
  return with_any_elements(builder.type(output), [&](auto zero) -> std::unique_ptr<Step> {
    return std::make_unique<ConcatStep<decltype(zero)>>(std::move(info), std::move(copied), output,
                                                        builder.row_stride(output), rows, out.w);
  });
}

}  // namespace

NodeKind concat_kind() {
  NodeKind kind;
  kind.name = "concat";
  kind.max_inputs = NodeKind::kAnyNumber;
  kind.channels = channels;
  kind.shape = shape;
  kind.emit = emit;
  return kind;
}

}  // namespace lpn
