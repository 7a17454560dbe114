// The parts of the GC and SE blocks as functions of arrays.
#include <pybind11/stl.h>

#include <cmath>

#include "base/buffer.h"
#include "base/cpu_features.h"
#include "bindings/arrays.h"
#include "bindings/bindings.h"
#include "bindings/without_gil.h"
#include "kernels/gc_pool/gc_pool.h"
#include "kernels/se_gate/se_gate.h"

namespace lpn::bindings {
namespace {

Buffer<float> make_buffer(std::int64_t size) {
  return Buffer<float>(static_cast<std::size_t>(size));
}

// A weight (rows, columns) as [columns][rows], the layout whose lanes are rows.
Buffer<float> transpose(const Input<float>& w) {
  Buffer<float> transposed = make_buffer(w[0] * w[1]);
  for (std::int64_t row = 0; row < w[0]; ++row) {
    for (std::int64_t column = 0; column < w[1]; ++column) {
      transposed.data()[column * w[0] + row] = w.data[row * w[1] + column];
    }
  }
  return transposed;
}

Input<float> read_matrix(const py::array& array, const char* name, const char* axes) {
  Input<float> matrix = read<float>(array, name, 2, axes);
  LPN_CHECK(matrix[0] >= 1 && matrix[1] >= 1, name, " has shape ", format_shape(matrix.shape),
            "; both axes of ", axes, " must be at least 1");
  return matrix;
}

py::array_t<float> gc_pool(const py::array& x_array, const py::array& w_array,
                           const std::string& isa_name) {
  const Isa isa = parse_isa(isa_name);
  const Input<float> x = read_map(x_array, "x");
  const Input<float> w = read<float>(w_array, "w", {x[3]});
  py::array_t<float> out = make_array<float>("the result", {x[0], x[3]});
  float* out_data = out.mutable_data();

  const WithoutGil released;
  const std::int64_t positions = x[1] * x[2];
  Buffer<float> logits = make_buffer(positions);
  Buffer<float> partial = make_buffer(2 + x[3]);
  for (std::int64_t image = 0; image < x[0]; ++image) {
    const float* pixels = x.data + image * positions * x[3];
    select_gc_pool<float>(isa).run(
        GcPoolArgs<float>{pixels, positions, x[3], w.data, logits.data(), partial.data()});
    merge_gc_partials(partial.data(), 1, x[3], out_data + image * x[3]);
  }
  return out;
}

py::array_t<float> gc_transform(const py::array& context_array, const py::array& w1_array,
                                const py::array& b1_array, const py::array& norm_w_array,
                                const py::array& norm_b_array, const py::array& w2_array,
                                const py::array& b2_array, double epsilon,
                                const std::string& isa_name) {
  const Isa isa = parse_isa(isa_name);
  const Input<float> context = read<float>(context_array, "context", 2, "(N, C)");
  Input<float> w1 = read_matrix(w1_array, "w1", "(h, C)");
  w1 = read<float>(w1_array, "w1", {w1[0], context[1]});
  Input<float> w2 = read_matrix(w2_array, "w2", "(O, h)");
  w2 = read<float>(w2_array, "w2", {w2[0], w1[0]});
  GcTransformArgs args{};
  args.epsilon = static_cast<float>(epsilon);
  LPN_CHECK(args.epsilon >= 0 && std::isfinite(args.epsilon), "epsilon is ", epsilon,
            "; it must be finite and not negative");
  args.c_in = context[1];
  args.hidden = w1[0];
  args.c_out = w2[0];
  args.b1 = read<float>(b1_array, "b1", {args.hidden}).data;
  args.norm_w = read<float>(norm_w_array, "norm_w", {args.hidden}).data;
  args.norm_b = read<float>(norm_b_array, "norm_b", {args.hidden}).data;
  args.b2 = read<float>(b2_array, "b2", {args.c_out}).data;
  py::array_t<float> out = make_array<float>("the result", {context[0], args.c_out});
  float* out_data = out.mutable_data();

  const WithoutGil released;
  const Buffer<float> first = transpose(w1);
  const Buffer<float> second = transpose(w2);
  Buffer<float> scratch = make_buffer(args.hidden);
  args.w1 = first.data();
  args.w2 = second.data();
  args.scratch = scratch.data();
  for (std::int64_t image = 0; image < context[0]; ++image) {
    args.context = context.data + image * args.c_in;
    args.out = out_data + image * args.c_out;
    select_gc_transform(isa).run(args);
  }
  return out;
}

py::array_t<float> channel_mean(const py::array& x_array, const std::string& isa_name) {
  const Isa isa = parse_isa(isa_name);
  const Input<float> x = read_map(x_array, "x");
  py::array_t<float> out = make_array<float>("the result", {x[0], x[3]});
  float* out_data = out.mutable_data();

  const WithoutGil released;
  const std::int64_t positions = x[1] * x[2];
  Buffer<float> partial = make_buffer(x[3]);
  for (std::int64_t image = 0; image < x[0]; ++image) {
    select_channel_sum<float>(isa).run(
        ChannelSumArgs<float>{x.data + image * positions * x[3], positions, x[3], partial.data()});
    merge_channel_sums(partial.data(), 1, x[3], positions, out_data + image * x[3]);
  }
  return out;
}

py::array_t<float> se_gate(const py::array& mean_array, const py::array& w1_array,
                           const py::array& w2_array, const std::string& isa_name) {
  const Isa isa = parse_isa(isa_name);
  const Input<float> mean = read<float>(mean_array, "mean", 2, "(N, C)");
  Input<float> w1 = read_matrix(w1_array, "w1", "(h, C)");
  w1 = read<float>(w1_array, "w1", {w1[0], mean[1]});
  const Input<float> w2 = read<float>(w2_array, "w2", {mean[1], w1[0]});
  SeGateArgs args{};
  args.c_in = args.c_out = mean[1];
  args.hidden = w1[0];
  py::array_t<float> out = make_array<float>("the result", mean.shape);
  float* out_data = out.mutable_data();

  const WithoutGil released;
  const Buffer<float> first = transpose(w1);
  const Buffer<float> second = transpose(w2);
  Buffer<float> scratch = make_buffer(args.hidden);
  args.w1 = first.data();
  args.w2 = second.data();
  args.scratch = scratch.data();
  for (std::int64_t image = 0; image < mean[0]; ++image) {
    args.mean = mean.data + image * args.c_in;
    args.out = out_data + image * args.c_out;
    select_se_gate(isa).run(args);
  }
  return out;
}

}  // namespace

void bind_ops_attention(py::module_& module) {
  using py::arg;
  module.def("gc_pool", &gc_pool, DefaultFloats(), arg("x").noconvert(), arg("w").noconvert(),
             arg("isa"));
  module.def("gc_transform", &gc_transform, DefaultFloats(), arg("context").noconvert(),
             arg("w1").noconvert(), arg("b1").noconvert(), arg("norm_w").noconvert(),
             arg("norm_b").noconvert(), arg("w2").noconvert(), arg("b2").noconvert(),
             arg("epsilon"), arg("isa"));
  module.def("channel_mean", &channel_mean, DefaultFloats(), arg("x").noconvert(), arg("isa"));
  module.def("se_gate", &se_gate, DefaultFloats(), arg("mean").noconvert(), arg("w1").noconvert(),
             arg("w2").noconvert(), arg("isa"));
}

}  // namespace lpn::bindings
