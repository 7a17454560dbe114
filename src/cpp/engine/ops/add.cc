// The sum of two maps. Plain C++: no network of interest spends time here, for a convolution's
// epilogue does most of it.
#include "engine/ops/add.h"

#include "base/bfloat16.h"
#include "base/check.h"
#include "engine/graph/node_kind.h"
#include "engine/plan/integer_weights.h"
#include "engine/plan/step_builder.h"
#include "kernels/add/add.h"

namespace lpn {
namespace {

std::int64_t channels(const Node& node, const std::vector<std::int64_t>& inputs) {
  LPN_CHECK(inputs[0] == inputs[1], describe(node), ": the inputs have ", inputs[0], " and ",
            inputs[1], " channels; they must have the same shape");
  return inputs[0];
}

Shape shape(const Node& node, const std::vector<Shape>& inputs, std::int64_t) {
  LPN_CHECK(
      inputs[0] == inputs[1], describe(node), ": the inputs have shapes ", inputs[0], " and ",
      inputs[1],
      "; they must be the same (an input image whose sides are multiples of 16 keeps them so)");
  return inputs[0];
}

void emit(const Node& node, int output, OperationGraph& graph) {
  graph.add(std::make_unique<Add>(node, output));
}

// Written so that a NaN stays one.
float activate(float value, Activation activation) {
  if (activation == Activation::kNone) return value;
  value = value < 0.0f ? 0.0f : value;
  return activation == Activation::kRelu6 && value > 6.0f ? 6.0f : value;
}

// Elements one after the other: whole rows, or positions where one of the maps has a row stride.
struct Runs {
  std::int64_t per_row, length;
  std::int64_t a_stride, b_stride, out_stride;
};

// Of maps that stand for numbers in units of their own.
class AddBytesStep final : public Step {
 public:
  AddBytesStep(Info info, const Add& add, AddFn<std::uint8_t> run, RowChunks rows, const Runs& runs,
               const AddArgs<std::uint8_t>& args)
      : Step(std::move(info)),
        a_(add.a),
        b_(add.b),
        output_(add.output),
        run_(run),
        rows_(rows),
        runs_(runs),
        args_(args) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int) const override {
    AddArgs<std::uint8_t> args = args_;
    const std::int64_t end = rows_.end(chunk) * runs_.per_row;
    for (std::int64_t run = rows_.begin(chunk) * runs_.per_row; run < end; ++run) {
      args.a = context.tensor<std::uint8_t>(a_) + run * runs_.a_stride;
      args.b = context.tensor<std::uint8_t>(b_) + run * runs_.b_stride;
      args.out = context.tensor<std::uint8_t>(output_) + run * runs_.out_stride;
      run_(args);
    }
  }

 private:
  const int a_, b_, output_;
  const AddFn<std::uint8_t> run_;
  const RowChunks rows_;
  const Runs runs_;
  const AddArgs<std::uint8_t> args_;
};

std::unique_ptr<Step> make_add_bytes(const Add& add, StepBuilder& builder, Step::Info info,
                                     const RowChunks& rows, const Runs& runs) {
  const Variant<AddFn<std::uint8_t>>& variant = select_add<std::uint8_t>(builder.isa);
  info.kernel = variant.name;
  info.isa = variant.isa;
  const Quantization a = *builder.quantization(add.a);
  const Quantization b = *builder.quantization(add.b);
  const Quantization out = *builder.quantization(add.output);
  const double a_scale = static_cast<double>(a.scale) / out.scale;
  const double b_scale = static_cast<double>(b.scale) / out.scale;
  const Requantization result = requantization({a, b, out}, add.activation, false);
  AddArgs<std::uint8_t> args{};
  args.count = runs.length;
  args.a_scale = static_cast<float>(a_scale);
  args.b_scale = static_cast<float>(b_scale);
  args.constant =
      static_cast<float>(out.zero_point - a.zero_point * a_scale - b.zero_point * b_scale);
  args.least = static_cast<std::uint8_t>(result.least);
  args.most = static_cast<std::uint8_t>(result.most);
  return std::make_unique<AddBytesStep>(std::move(info), add, variant.run, rows, runs, args);
}

template <class T>
class AddStep final : public Step {
 public:
  AddStep(Info info, const Add& add, RowChunks rows, const Runs& runs)
      : Step(std::move(info)),
        a_(add.a),
        b_(add.b),
        output_(add.output),
        activation_(add.activation),
        rows_(rows),
        runs_(runs) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int) const override {
    const std::int64_t end = rows_.end(chunk) * runs_.per_row;
    for (std::int64_t run = rows_.begin(chunk) * runs_.per_row; run < end; ++run) {
      const T* a = context.tensor<T>(a_) + run * runs_.a_stride;
      const T* b = context.tensor<T>(b_) + run * runs_.b_stride;
      T* out = context.tensor<T>(output_) + run * runs_.out_stride;
      for (std::int64_t i = 0; i < runs_.length; ++i)
        out[i] = narrow<T>(activate(widen(a[i]) + widen(b[i]), activation_));
    }
  }

 private:
  const int a_, b_, output_;
  const Activation activation_;
  const RowChunks rows_;
  const Runs runs_;
};

}  // namespace

std::unique_ptr<Step> Add::make_step(StepBuilder& builder) const {
  constexpr double kRelativeCost = 32;  // three elements of memory traffic each
  const Shape& out = builder.shape(output);
  Step::Info info;
  info.name = node->name;
  info.kernel = "add";
  info.isa = Isa::kScalar;
  info.flops = static_cast<double>(out.size());
  info.bytes = builder.traffic(*this, 0);
  const RowChunks rows = cut_rows(out.h, kRelativeCost * info.flops);
  info.chunks = rows.count();
  Runs runs{out.w, out.c, builder.row_stride(a), builder.row_stride(b), builder.row_stride(output)};
  if (runs.a_stride == out.c && runs.b_stride == out.c && runs.out_stride == out.c)
    runs = {1, out.w * out.c, out.w * out.c, out.w * out.c, out.w * out.c};
  if (builder.type(output) == DType::kU8)
    return make_add_bytes(*this, builder, std::move(info), rows, runs);
  return with_elements(builder.type(output), [&](auto zero) -> std::unique_ptr<Step> {
    return std::make_unique<AddStep<decltype(zero)>>(std::move(info), *this, rows, runs);
  });
}

NodeKind add_kind() {
  NodeKind kind;
  kind.name = "add";
  kind.min_inputs = kind.max_inputs = 2;
  kind.attributes = {kActivationAttribute};
  kind.channels = channels;
  kind.shape = shape;
  kind.emit = emit;
  return kind;
}

}  // namespace lpn
