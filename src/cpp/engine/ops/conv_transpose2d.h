// Transposed convolutions as operations.
#pragma once

#include <memory>
#include <vector>

#include "engine/graph/operation.h"
#include "engine/ops/conv2d.h"
#include "kernels/group_deconv/group_deconv.h"

namespace lpn {

struct ConvTranspose final : Operation {
  ConvTranspose(const Node& of, int map, int result) : Operation(of), input(map), output(result) {}

  std::vector<int> reads() const override { return {input}; }
  std::vector<int> writes() const override { return {output}; }
  void redirect(int from, int to) override {
    redirect_tensor(input, from, to);
    redirect_tensor(output, from, to);
  }
  bool takes_types(const std::vector<Tensor>& tensors) const override;
  // Whether it makes bytes of bytes, whatever type its output has by now.
  bool takes_bytes(const std::vector<Tensor>& tensors) const;
  std::unique_ptr<Step> make_step(StepBuilder& builder) const override;

  // For any step that runs it on elements T: everything but the pointers and the rows.
  template <class T>
  GroupDeconvArgs<T> kernel_args(StepBuilder& builder) const;
  template <class T>
  std::int64_t scratch_bytes(std::int64_t rows, const StepBuilder& builder) const;
  double flops(const StepBuilder& builder) const;

  int input;
  int output;
};

// A transposed convolution and the 1x1 convolutions that alone read its result, row by row.
struct Upsample final : Operation {
  explicit Upsample(std::unique_ptr<ConvTranspose> first)
      : Operation(*first->node), deconv(std::move(first)) {}

  int output() const { return projections.empty() ? deconv->output : projections.back()->output; }

  std::vector<int> reads() const override { return deconv->reads(); }
  std::vector<int> writes() const override { return {output()}; }
  void redirect(int from, int to) override;
  bool keeps_float() const override;
  bool takes_stride(int tensor) const override { return tensor == output(); }
  // Maps in between, which nobody else sees, are of the input's type.
  bool takes_types(const std::vector<Tensor>& tensors) const override;
  std::unique_ptr<Step> make_step(StepBuilder& builder) const override;

  std::unique_ptr<ConvTranspose> deconv;
  std::vector<std::unique_ptr<Conv>> projections;

 private:
  bool takes_bytes(const std::vector<Tensor>& tensors) const;
};

}  // namespace lpn
