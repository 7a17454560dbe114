#include "reference_graph.h"

#include <algorithm>
#include <cmath>

namespace lpn::test {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// std::max and std::min return their first argument when either is NaN.
double activate(double value, Activation activation) {
  if (activation != Activation::kNone) value = std::max(value, 0.0);
  return activation == Activation::kRelu6 ? std::min(value, 6.0) : value;
}

ReferenceMap conv(const Node& node, const ReferenceMap& x, Shape out_shape) {
  const Weight& w = node.weight("weight");
  const std::int64_t group_in = w.shape[1];
  const std::int64_t kh = w.shape[2];
  const std::int64_t kw = w.shape[3];
  const std::int64_t group_out = out_shape.c / node.attributes.groups;
  ReferenceMap out(out_shape);
  for (std::int64_t y = 0; y < out_shape.h; ++y) {
    for (std::int64_t column = 0; column < out_shape.w; ++column) {
      for (std::int64_t o = 0; o < out_shape.c; ++o) {
        double sum = node.bias() == nullptr ? 0.0 : node.bias()[o];
        for (std::int64_t tap = 0; tap < kh * kw; ++tap) {
          const std::int64_t v = y * node.attributes.stride - node.attributes.padding + tap / kw;
          const std::int64_t u =
              column * node.attributes.stride - node.attributes.padding + tap % kw;
          if (v < 0 || v >= x.shape.h || u < 0 || u >= x.shape.w) continue;
          for (std::int64_t c = 0; c < group_in; ++c) {
            sum += x.at(v, u, o / group_out * group_in + c) *
                   w.data()[(o * group_in + c) * kh * kw + tap];
          }
        }
        out.at(y, column, o) = activate(sum, node.attributes.activation);
      }
    }
  }
  return out;
}

ReferenceMap conv_transpose(const Node& node, const ReferenceMap& x, Shape out_shape) {
  const Weight& w = node.weight("weight");
  const std::int64_t group_out = w.shape[1];
  const std::int64_t kh = w.shape[2];
  const std::int64_t kw = w.shape[3];
  const std::int64_t group_in = x.shape.c / node.attributes.groups;
  ReferenceMap out(out_shape);
  for (std::size_t i = 0; i < out.values.size(); ++i) {
    out.values[i] =
        node.bias() == nullptr ? 0.0 : node.bias()[static_cast<std::int64_t>(i) % out_shape.c];
  }
  for (std::int64_t v = 0; v < x.shape.h; ++v) {
    for (std::int64_t u = 0; u < x.shape.w; ++u) {
      for (std::int64_t tap = 0; tap < kh * kw; ++tap) {
        const std::int64_t y = v * node.attributes.stride - node.attributes.padding + tap / kw;
        const std::int64_t column = u * node.attributes.stride - node.attributes.padding + tap % kw;
        if (y < 0 || y >= out_shape.h || column < 0 || column >= out_shape.w) continue;
        for (std::int64_t c = 0; c < x.shape.c; ++c) {
          for (std::int64_t o = 0; o < group_out; ++o) {
            out.at(y, column, c / group_in * group_out + o) +=
                x.at(v, u, c) * w.data()[(c * group_out + o) * kh * kw + tap];
          }
        }
      }
    }
  }
  for (double& value : out.values) value = activate(value, node.attributes.activation);
  return out;
}

ReferenceMap max_pool(const Node& node, const ReferenceMap& x, Shape out_shape) {
  const Attributes& a = node.attributes;
  ReferenceMap out(out_shape);
  for (std::int64_t y = 0; y < out_shape.h; ++y) {
    for (std::int64_t column = 0; column < out_shape.w; ++column) {
      for (std::int64_t c = 0; c < out_shape.c; ++c) {
        double best = -1e300;
        for (std::int64_t tap = 0; tap < a.kernel * a.kernel; ++tap) {
          const std::int64_t v = y * a.stride - a.padding + tap / a.kernel;
          const std::int64_t u = column * a.stride - a.padding + tap % a.kernel;
          if (v >= 0 && v < x.shape.h && u >= 0 && u < x.shape.w)
            best = std::isnan(best) ? best : std::max(x.at(v, u, c), best);
        }
        out.at(y, column, c) = best;
      }
    }
  }
  return out;
}

// w (rows, columns) times v, plus b where it is there.
std::vector<double> linear(const Weight& w, const std::vector<double>& v, const Weight* b) {
  std::vector<double> out(at(w.shape[0]), 0.0);
  for (std::int64_t row = 0; row < w.shape[0]; ++row) {
    if (b != nullptr) out[at(row)] = b->data()[row];
    for (std::int64_t column = 0; column < w.shape[1]; ++column) {
      out[at(row)] += w.data()[row * w.shape[1] + column] * v[at(column)];
    }
  }
  return out;
}

ReferenceMap gc_block(const Node& node, const ReferenceMap& x) {
  const std::int64_t c = x.shape.c;
  std::vector<double> logits;
  for (std::int64_t p = 0; p < x.shape.positions(); ++p) {
    double logit = node.weight("mask_bias").data()[0];
    for (std::int64_t i = 0; i < c; ++i)
      logit += node.weight("mask_weight").data()[i] * x.values[at(p * c + i)];
    logits.push_back(logit);
  }
  const double highest = *std::max_element(logits.begin(), logits.end());
  double total = 0;
  std::vector<double> context(at(c), 0.0);
  for (std::int64_t p = 0; p < x.shape.positions(); ++p) {
    const double weight = std::exp(logits[at(p)] - highest);
    total += weight;
    for (std::int64_t i = 0; i < c; ++i) context[at(i)] += weight * x.values[at(p * c + i)];
  }
  for (double& value : context) value /= total;
  std::vector<double> hidden = linear(node.weight("w1"), context, &node.weight("b1"));
  double mean = 0;
  double variance = 0;
  const auto count = static_cast<double>(hidden.size());
  for (const double value : hidden) mean += value / count;
  for (const double value : hidden) variance += (value - mean) * (value - mean) / count;
  for (std::size_t i = 0; i < hidden.size(); ++i) {
    const double normal = (hidden[i] - mean) / std::sqrt(variance + node.attributes.epsilon);
    hidden[i] = std::max(
        normal * node.weight("norm_weight").data()[i] + node.weight("norm_bias").data()[i], 0.0);
  }
  const std::vector<double> vector = linear(node.weight("w2"), hidden, &node.weight("b2"));
  ReferenceMap out = x;
  for (std::size_t i = 0; i < out.values.size(); ++i) out.values[i] += vector[i % at(c)];
  return out;
}

ReferenceMap se_block(const Node& node, const ReferenceMap& x) {
  std::vector<double> mean(at(x.shape.c), 0.0);
  for (std::size_t i = 0; i < x.values.size(); ++i) {
    mean[i % mean.size()] += x.values[i] / static_cast<double>(x.shape.positions());
  }
  std::vector<double> hidden = linear(node.weight("w1"), mean, nullptr);
  for (double& value : hidden) value = std::max(value, 0.0);
  const std::vector<double> gate = linear(node.weight("w2"), hidden, nullptr);
  ReferenceMap out = x;
  for (std::size_t i = 0; i < out.values.size(); ++i)
    out.values[i] /= 1 + std::exp(-gate[i % gate.size()]);
  return out;
}

ReferenceMap sum(const Node& node, const ReferenceMap& a, const ReferenceMap& b) {
  ReferenceMap out = a;
  for (std::size_t i = 0; i < out.values.size(); ++i) {
    out.values[i] = activate(a.values[i] + b.values[i], node.attributes.activation);
  }
  return out;
}

}  // namespace

ReferenceMap run_reference(const Graph& graph, const ReferenceMap& input) {
  const std::vector<Shape> shapes = graph.infer_shapes(input.shape.h, input.shape.w);
  std::vector<ReferenceMap> tensors{input};
  for (const Node& node : graph.nodes()) {
    const ReferenceMap& x = tensors[at(node.inputs[0])];
    const Shape shape = shapes[tensors.size()];
    switch (node.kind) {
      case NodeKind::kConv2d:
        tensors.push_back(conv(node, x, shape));
        break;
      case NodeKind::kConvTranspose2d:
        tensors.push_back(conv_transpose(node, x, shape));
        break;
      case NodeKind::kMaxPool2d:
        tensors.push_back(max_pool(node, x, shape));
        break;
      case NodeKind::kAdd:
        tensors.push_back(sum(node, x, tensors[at(node.inputs[1])]));
        break;
      case NodeKind::kGcBlock:
        tensors.push_back(gc_block(node, x));
        break;
      case NodeKind::kSeBlock:
        tensors.push_back(se_block(node, x));
        break;
    }
  }
  return tensors[at(graph.output())];
}

}  // namespace lpn::test
