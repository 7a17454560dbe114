// Max pooling, by output rows.
#include "base/check.h"
#include "engine/graph/node_kind.h"
#include "engine/graph/operation.h"
#include "engine/plan/step_builder.h"
#include "kernels/max_pool/max_pool.h"

namespace lpn {
namespace {

std::int64_t channels(const Node& node, const std::vector<std::int64_t>& inputs) {
  const std::int64_t padding = node.attributes.integer("padding");
  const std::int64_t kernel = node.attributes.integer("kernel");
  LPN_CHECK(padding < kernel, describe(node), ": padding is ", padding,
            "; it must be less than the kernel, ", kernel, ", so that every window holds a pixel");
  return inputs[0];
}

Shape shape(const Node& node, const std::vector<Shape>& inputs, std::int64_t out_channels) {
  const std::int64_t padding = node.attributes.integer("padding");
  const std::int64_t kernel = node.attributes.integer("kernel");
  const std::int64_t stride = node.attributes.integer("stride");
  const Shape& in = inputs[0];
  LPN_CHECK(in.h + 2 * padding >= kernel && in.w + 2 * padding >= kernel, describe(node),
            ": input ", in, " with padding ", padding, " is smaller than the kernel ", kernel,
            "; give a larger image");
  return {(in.h + 2 * padding - kernel) / stride + 1, (in.w + 2 * padding - kernel) / stride + 1,
          out_channels};
}

struct MaxPool final : Operation {
  MaxPool(const Node& of, int result) : Operation(of), input(of.inputs[0]), output(result) {}

  std::vector<int> reads() const override { return {input}; }
  std::vector<int> writes() const override { return {output}; }
  void redirect(int from, int to) override {
    redirect_tensor(input, from, to);
    redirect_tensor(output, from, to);
  }
  bool takes_types(const std::vector<Tensor>& tensors) const override {
    return of_one_float(tensors, {input, output}) || of_same_bytes(tensors, {input, output});
  }
  std::unique_ptr<Step> make_step(StepBuilder& builder) const override;

  int input;
  int output;
};

void emit(const Node& node, int output, OperationGraph& graph) {
  graph.add(std::make_unique<MaxPool>(node, output));
}

template <class T>
class MaxPoolStep final : public Step {
 public:
  MaxPoolStep(Info info, const MaxPool& pool, MaxPoolFn<T> run, RowChunks rows,
              const MaxPoolArgs<T>& args)
      : Step(std::move(info)),
        input_(pool.input),
        output_(pool.output),
        run_(run),
        rows_(rows),
        args_(args) {}

  void run_chunk(const RunContext& context, std::int64_t chunk, int) const override {
    MaxPoolArgs<T> args = args_;
    args.row_begin = rows_.begin(chunk);
    args.row_end = rows_.end(chunk);
    args.in = context.tensor<T>(input_);
    args.out = context.tensor<T>(output_) + args.row_begin * args.out_w * args.c;
    run_(args);
  }

 private:
  const int input_, output_;
  const MaxPoolFn<T> run_;
  const RowChunks rows_;
  const MaxPoolArgs<T> args_;
};

template <class T>
std::unique_ptr<Step> make_max_pool(const MaxPool& pool, StepBuilder& builder) {
  constexpr double kRelativeCost = 8;  // as of a depthwise convolution
  const Attributes& attributes = pool.node->attributes;
  const Shape& in = builder.shape(pool.input);
  const Shape& out = builder.shape(pool.output);
  const Variant<MaxPoolFn<T>>& variant = select_max_pool<T>(builder.isa);

  MaxPoolArgs<T> args{};
  args.in_h = in.h;
  args.in_w = in.w;
  args.c = in.c;
  args.out_w = out.w;
  args.kernel = attributes.integer("kernel");
  args.stride = attributes.integer("stride");
  args.padding = attributes.integer("padding");

  Step::Info info;
  info.name = pool.node->name;
  info.kernel = variant.name;
  info.isa = variant.isa;
  info.flops = static_cast<double>(out.size()) * static_cast<double>(args.kernel * args.kernel);
  info.bytes = builder.traffic(pool, 0);
  const RowChunks rows = cut_rows(out.h, kRelativeCost * info.flops);
  info.chunks = rows.count();
  return std::make_unique<MaxPoolStep<T>>(std::move(info), pool, variant.run, rows, args);
}

std::unique_ptr<Step> MaxPool::make_step(StepBuilder& builder) const {
  return with_any_elements(builder.type(input), [&](auto zero) {
    return make_max_pool<decltype(zero)>(*this, builder);
  });
}

}  // namespace

NodeKind max_pool2d_kind() {
  NodeKind kind;
  kind.name = "max_pool2d";
  kind.attributes = {integer_attribute("kernel", 1), kStrideAttribute, kPaddingAttribute};
  kind.channels = channels;
  kind.shape = shape;
  kind.emit = emit;
  return kind;
}

}  // namespace lpn
