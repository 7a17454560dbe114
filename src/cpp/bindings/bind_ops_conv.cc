// Convolutions and max pooling as functions of arrays.
#include <pybind11/stl.h>

#include "base/buffer.h"
#include "base/cpu_features.h"
#include "bindings/arrays.h"
#include "bindings/bindings.h"
#include "bindings/without_gil.h"
#include "engine/graph/attributes.h"
#include "kernels/conv/conv.h"
#include "kernels/depthwise/depthwise.h"
#include "kernels/group_deconv/group_deconv.h"
#include "kernels/max_pool/max_pool.h"
#include "kernels/pointwise/pointwise.h"

namespace lpn::bindings {
namespace {

using Optional = std::optional<py::array>;

constexpr std::int64_t kMaxKernel =
    1 << 15;  // keeps products with strides and sizes far from overflow

Buffer<float> make_buffer(std::int64_t size) {
  return Buffer<float>(static_cast<std::size_t>(size));
}

void check_window(const char* name, std::int64_t value, std::int64_t least) {
  LPN_CHECK(value >= least && value <= kMaxKernel, name, " is ", value, "; it must be from ", least,
            " to ", kMaxKernel);
}

// The result's size along one axis of a sliding window.
std::int64_t window_count(std::int64_t in, std::int64_t kernel, std::int64_t stride,
                          std::int64_t padding) {
  LPN_CHECK(in + 2 * padding >= kernel, "x of size ", in, " with padding ", padding,
            " is smaller than the kernel, ", kernel);
  return (in + 2 * padding - kernel) / stride + 1;
}

Input<float> read_kernel(const py::array& array) {
  Input<float> w = read<float>(array, "w", 4, "a convolution's weight, four axes");
  for (std::size_t axis = 0; axis < 4; ++axis) check_window("an axis of w", w[axis], 1);
  return w;
}

py::array_t<float> conv2d(const py::array& x_array, const py::array& w_array, const Optional& b,
                          const Optional& residual, std::int64_t stride, std::int64_t padding,
                          const std::string& activation, const std::string& isa_name) {
  const Isa isa = parse_isa(isa_name);
  const Input<float> x = read_map(x_array, "x");
  Input<float> w = read_kernel(w_array);
  check_window("stride", stride, 1);
  check_window("padding", padding, 0);
  w = read<float>(w_array, "w", {w[0], x[3], w[2], w[3]});
  ConvArgs<float, float> args{};
  args.in_h = x[1];
  args.in_w = x[2];
  args.in_c = x[3];
  args.ld_out = args.ld_residual = args.out_c = w[0];
  args.kh = w[2];
  args.kw = w[3];
  args.stride = stride;
  args.padding = padding;
  args.activation = parse_activation(activation, "");
  args.row_end = window_count(args.in_h, args.kh, stride, padding);
  args.out_w = window_count(args.in_w, args.kw, stride, padding);
  const std::vector<std::int64_t> shape{x[0], args.row_end, args.out_w, args.out_c};
  args.bias = read_optional<float>(b, "b", {args.out_c});
  const float* residual_data = read_optional<float>(residual, "residual", shape);
  py::array_t<float> out = make_array<float>("the result", shape);
  float* out_data = out.mutable_data();

  const WithoutGil released;
  Buffer<float> packed =
      make_buffer(conv_packed_size<float>(isa, args.kh, args.kw, args.in_c, args.out_c));
  pack_conv(isa, w.data, args.kh, args.kw, args.in_c, args.out_c, packed.data());
  Buffer<float> scratch = make_buffer(conv_scratch_size<float, float>(
      args.row_end, args.in_h, args.in_w, args.in_c, args.kh, args.stride, args.padding));
  args.packed_w = packed.data();
  args.scratch = scratch.data();
  const std::int64_t in_size = x[1] * x[2] * x[3];
  const std::int64_t out_size = shape[1] * shape[2] * shape[3];
  for (std::int64_t image = 0; image < x[0]; ++image) {
    args.in = x.data + image * in_size;
    args.out = out_data + image * out_size;
    args.residual = residual_data == nullptr ? nullptr : residual_data + image * out_size;
    select_conv<float, float>(isa).run(args);
  }
  return out;
}

py::array_t<float> pointwise_conv2d(const py::array& x_array, const py::array& w_array,
                                    const Optional& b, const Optional& scale,
                                    const Optional& residual, const std::string& activation,
                                    const std::string& isa_name) {
  const Isa isa = parse_isa(isa_name);
  const Input<float> x = read_map(x_array, "x");
  Input<float> w = read<float>(w_array, "w", 2, "(O, C)");
  w = read<float>(w_array, "w", {w[0], x[3]});
  LPN_CHECK(w[0] >= 1, "w has shape ", format_shape(w.shape), "; O must be at least 1");
  const std::vector<std::int64_t> shape{x[0], x[1], x[2], w[0]};
  PointwiseArgs<float, float> args{};
  args.a = x.data;
  args.lda = args.k = x[3];
  args.ld_out = args.ld_residual = args.n = w[0];
  args.m = x[0] * x[1] * x[2];
  args.activation = parse_activation(activation, "");
  args.bias = read_optional<float>(b, "b", {args.n});
  args.scale = read_optional<float>(scale, "scale", {args.n});
  args.residual = read_optional<float>(residual, "residual", shape);
  py::array_t<float> out = make_array<float>("the result", shape);
  args.out = out.mutable_data();

  const WithoutGil released;
  Buffer<float> packed = make_buffer(pointwise_packed_size<float>(isa, args.k, args.n));
  pack_pointwise(isa, w.data, args.k, args.n, packed.data());
  args.packed_b = packed.data();
  select_pointwise<float, float>(isa).run(args);
  return out;
}

py::array_t<float> depthwise_conv2d(const py::array& x_array, const py::array& w_array,
                                    const Optional& b, std::int64_t stride, std::int64_t padding,
                                    const std::string& activation, const std::string& isa_name) {
  const Isa isa = parse_isa(isa_name);
  const Input<float> x = read_map(x_array, "x");
  Input<float> w = read_kernel(w_array);
  check_window("stride", stride, 1);
  check_window("padding", padding, 0);
  w = read<float>(w_array, "w", {x[3], 1, w[2], w[3]});
  DepthwiseArgs<float> args{};
  args.in_h = x[1];
  args.in_w = x[2];
  args.c = x[3];
  args.kh = w[2];
  args.kw = w[3];
  args.stride = stride;
  args.padding = padding;
  args.activation = parse_activation(activation, "");
  args.row_end = window_count(args.in_h, args.kh, stride, padding);
  args.out_w = window_count(args.in_w, args.kw, stride, padding);
  args.bias = read_optional<float>(b, "b", {args.c});
  py::array_t<float> out =
      make_array<float>("the result", {x[0], args.row_end, args.out_w, args.c});
  float* out_data = out.mutable_data();

  const WithoutGil released;
  Buffer<float> packed = make_buffer(depthwise_packed_size(args.kh, args.kw, args.c));
  pack_depthwise<float>(w.data, args.kh, args.kw, args.c, packed.data());
  args.w = packed.data();
  for (std::int64_t image = 0; image < x[0]; ++image) {
    args.in = x.data + image * args.in_h * args.in_w * args.c;
    args.out = out_data + image * args.row_end * args.out_w * args.c;
    select_depthwise<float>(isa).run(args);
  }
  return out;
}

py::array_t<float> group_deconv2d(const py::array& x_array, const py::array& w_array,
                                  const Optional& b, std::int64_t stride, std::int64_t padding,
                                  std::int64_t groups, const std::string& activation,
                                  const std::string& isa_name) {
  const Isa isa = parse_isa(isa_name);
  const Input<float> x = read_map(x_array, "x");
  Input<float> w = read_kernel(w_array);
  check_window("stride", stride, 1);
  check_window("padding", padding, 0);
  LPN_CHECK(groups >= 1 && x[3] % groups == 0, "groups is ", groups,
            "; it must divide x's channels, ", x[3]);
  w = read<float>(w_array, "w", {x[3], w[1], w[2], w[3]});
  GroupDeconvArgs<float> args{};
  args.in_h = x[1];
  args.in_w = x[2];
  args.in_c = x[3];
  args.out_c = w[1] * groups;
  args.groups = groups;
  args.kh = w[2];
  args.kw = w[3];
  args.stride = stride;
  args.padding = padding;
  args.activation = parse_activation(activation, "");
  args.row_end = (args.in_h - 1) * stride - 2 * padding + args.kh;
  args.out_w = (args.in_w - 1) * stride - 2 * padding + args.kw;
  LPN_CHECK(args.row_end >= 1 && args.out_w >= 1, "padding is ", padding,
            ", which leaves nothing of a result for x of shape ", format_shape(x.shape),
            "; give less");
  args.bias = read_optional<float>(b, "b", {args.out_c});
  py::array_t<float> out =
      make_array<float>("the result", {x[0], args.row_end, args.out_w, args.out_c});
  float* out_data = out.mutable_data();

  const WithoutGil released;
  Buffer<float> packed = make_buffer(
      group_deconv_packed_size<float>(isa, args.kh, args.kw, args.in_c, args.out_c, args.groups));
  pack_group_deconv<float>(isa, w.data, args.kh, args.kw, args.in_c, args.out_c, args.groups,
                           packed.data());
  Buffer<float> scratch = make_buffer(group_deconv_scratch_size<float>(
      args.row_end, args.in_h, args.in_w, args.in_c, args.groups, args.kh, args.stride));
  args.packed_w = packed.data();
  args.scratch = scratch.data();
  for (std::int64_t image = 0; image < x[0]; ++image) {
    args.in = x.data + image * args.in_h * args.in_w * args.in_c;
    args.out = out_data + image * args.row_end * args.out_w * args.out_c;
    select_group_deconv<float>(isa).run(args);
  }
  return out;
}

py::array_t<float> max_pool2d(const py::array& x_array, std::int64_t kernel, std::int64_t stride,
                              std::int64_t padding, const std::string& isa_name) {
  const Isa isa = parse_isa(isa_name);
  const Input<float> x = read_map(x_array, "x");
  check_window("kernel", kernel, 1);
  check_window("stride", stride, 1);
  LPN_CHECK(padding >= 0 && padding < kernel, "padding is ", padding,
            "; it must be from 0 to less than the kernel, ", kernel);
  MaxPoolArgs<float> args{};
  args.in_h = x[1];
  args.in_w = x[2];
  args.c = x[3];
  args.kernel = kernel;
  args.stride = stride;
  args.padding = padding;
  args.row_end = window_count(args.in_h, kernel, stride, padding);
  args.out_w = window_count(args.in_w, kernel, stride, padding);
  py::array_t<float> out =
      make_array<float>("the result", {x[0], args.row_end, args.out_w, args.c});
  float* out_data = out.mutable_data();

  const WithoutGil released;
  for (std::int64_t image = 0; image < x[0]; ++image) {
    args.in = x.data + image * args.in_h * args.in_w * args.c;
    args.out = out_data + image * args.row_end * args.out_w * args.c;
    select_max_pool<float>(isa).run(args);
  }
  return out;
}

}  // namespace

void bind_ops_conv(py::module_& module) {
  using py::arg;
  module.def("conv2d", &conv2d, DefaultFloats(), arg("x").noconvert(), arg("w").noconvert(),
             arg("b").noconvert(), arg("residual").noconvert(), arg("stride"), arg("padding"),
             arg("activation"), arg("isa"));
  module.def("pointwise_conv2d", &pointwise_conv2d, DefaultFloats(), arg("x").noconvert(),
             arg("w").noconvert(), arg("b").noconvert(), arg("scale").noconvert(),
             arg("residual").noconvert(), arg("activation"), arg("isa"));
  module.def("depthwise_conv2d", &depthwise_conv2d, DefaultFloats(), arg("x").noconvert(),
             arg("w").noconvert(), arg("b").noconvert(), arg("stride"), arg("padding"),
             arg("activation"), arg("isa"));
  module.def("group_deconv2d", &group_deconv2d, DefaultFloats(), arg("x").noconvert(),
             arg("w").noconvert(), arg("b").noconvert(), arg("stride"), arg("padding"),
             arg("groups"), arg("activation"), arg("isa"));
  module.def("max_pool2d", &max_pool2d, DefaultFloats(), arg("x").noconvert(), arg("kernel"),
             arg("stride"), arg("padding"), arg("isa"));
}

}  // namespace lpn::bindings
