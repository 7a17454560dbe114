#include "reference_graph.h"

#include <algorithm>
#include <cmath>
#include <map>
#include <string>

#include "engine/graph/node_kind.h"

namespace lpn::test {
namespace {

std::size_t at(std::int64_t i) { return static_cast<std::size_t>(i); }

// std::max and std::min return their first argument when either is NaN.
double activate(double value, Activation activation) {
  if (activation != Activation::kNone) value = std::max(value, 0.0);
  return activation == Activation::kRelu6 ? std::min(value, 6.0) : value;
}

using Inputs = std::vector<const ReferenceMap*>;

ReferenceMap conv(const Node& node, const Inputs& inputs, Shape out_shape) {
  const ReferenceMap& x = *inputs[0];
  const std::int64_t stride = node.attributes.integer("stride");
  const std::int64_t padding = node.attributes.integer("padding");
  const Weight& w = node.weight("weight");
  const std::int64_t group_in = w.shape[1];
  const std::int64_t kh = w.shape[2];
  const std::int64_t kw = w.shape[3];
  const std::int64_t group_out = out_shape.c / node.attributes.integer("groups");
  ReferenceMap out(out_shape);
  for (std::int64_t y = 0; y < out_shape.h; ++y) {
    for (std::int64_t column = 0; column < out_shape.w; ++column) {
      for (std::int64_t o = 0; o < out_shape.c; ++o) {
        double sum = node.bias() == nullptr ? 0.0 : node.bias()[o];
        for (std::int64_t tap = 0; tap < kh * kw; ++tap) {
          const std::int64_t v = y * stride - padding + tap / kw;
          const std::int64_t u = column * stride - padding + tap % kw;
          if (v < 0 || v >= x.shape.h || u < 0 || u >= x.shape.w) continue;
          for (std::int64_t c = 0; c < group_in; ++c) {
            sum += x.at(v, u, o / group_out * group_in + c) *
                   w.data()[(o * group_in + c) * kh * kw + tap];
          }
        }
        out.at(y, column, o) = activate(sum, node.attributes.activation());
      }
    }
  }
  return out;
}

ReferenceMap conv_transpose(const Node& node, const Inputs& inputs, Shape out_shape) {
  const ReferenceMap& x = *inputs[0];
  const std::int64_t stride = node.attributes.integer("stride");
  const std::int64_t padding = node.attributes.integer("padding");
  const Weight& w = node.weight("weight");
  const std::int64_t group_out = w.shape[1];
  const std::int64_t kh = w.shape[2];
  const std::int64_t kw = w.shape[3];
  const std::int64_t group_in = x.shape.c / node.attributes.integer("groups");
  ReferenceMap out(out_shape);
  for (std::size_t i = 0; i < out.values.size(); ++i) {
    out.values[i] =
        node.bias() == nullptr ? 0.0 : node.bias()[static_cast<std::int64_t>(i) % out_shape.c];
  }
  for (std::int64_t v = 0; v < x.shape.h; ++v) {
    for (std::int64_t u = 0; u < x.shape.w; ++u) {
      for (std::int64_t tap = 0; tap < kh * kw; ++tap) {
        const std::int64_t y = v * stride - padding + tap / kw;
        const std::int64_t column = u * stride - padding + tap % kw;
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
  for (double& value : out.values) value = activate(value, node.attributes.activation());
  return out;
}

ReferenceMap max_pool(const Node& node, const Inputs& inputs, Shape out_shape) {
  const ReferenceMap& x = *inputs[0];
  const std::int64_t kernel = node.attributes.integer("kernel");
  const std::int64_t stride = node.attributes.integer("stride");
  const std::int64_t padding = node.attributes.integer("padding");
  ReferenceMap out(out_shape);
  for (std::int64_t y = 0; y < out_shape.h; ++y) {
    for (std::int64_t column = 0; column < out_shape.w; ++column) {
      for (std::int64_t c = 0; c < out_shape.c; ++c) {
        double best = -1e300;
        for (std::int64_t tap = 0; tap < kernel * kernel; ++tap) {
          const std::int64_t v = y * stride - padding + tap / kernel;
          const std::int64_t u = column * stride - padding + tap % kernel;
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

ReferenceMap gc_block(const Node& node, const Inputs& inputs, Shape) {
  const ReferenceMap& x = *inputs[0];
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
    const double normal =
        (hidden[i] - mean) / std::sqrt(variance + node.attributes.number("epsilon"));
    hidden[i] = std::max(
        normal * node.weight("norm_weight").data()[i] + node.weight("norm_bias").data()[i], 0.0);
  }
  const std::vector<double> vector = linear(node.weight("w2"), hidden, &node.weight("b2"));
  ReferenceMap out = x;
  for (std::size_t i = 0; i < out.values.size(); ++i) out.values[i] += vector[i % at(c)];
  return out;
}

ReferenceMap se_block(const Node& node, const Inputs& inputs, Shape) {
  const ReferenceMap& x = *inputs[0];
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

ReferenceMap sum(const Node& node, const Inputs& inputs, Shape) {
  const ReferenceMap& a = *inputs[0];
  const ReferenceMap& b = *inputs[1];
  ReferenceMap out = a;
  for (std::size_t i = 0; i < out.values.size(); ++i) {
    out.values[i] = activate(a.values[i] + b.values[i], node.attributes.activation());
  }
  return out;
}

ReferenceMap concat(const Node&, const Inputs& inputs, Shape out_shape) {
  ReferenceMap out(out_shape);
  std::int64_t channel = 0;
  for (const ReferenceMap* input : inputs) {
    for (std::int64_t i = 0; i < input->shape.size(); ++i) {
      const std::int64_t position = i / input->shape.c;
      out.values[at(position * out_shape.c + channel + i % input->shape.c)] = input->values[at(i)];
    }
    channel += input->shape.c;
  }
  return out;
}

ReferenceMap global_avg_pool(const Node&, const Inputs& inputs, Shape out_shape) {
  const ReferenceMap& x = *inputs[0];
  ReferenceMap out(out_shape);
  for (std::size_t i = 0; i < x.values.size(); ++i)
    out.values[i % out.values.size()] += x.values[i] / static_cast<double>(x.shape.positions());
  return out;
}

ReferenceMap upsample_nearest(const Node& node, const Inputs& inputs, Shape out_shape) {
  const std::int64_t factor = node.attributes.integer("factor");
  ReferenceMap out(out_shape);
  for (std::int64_t y = 0; y < out_shape.h; ++y) {
    for (std::int64_t x = 0; x < out_shape.w; ++x) {
      for (std::int64_t c = 0; c < out_shape.c; ++c)
        out.at(y, x, c) = inputs[0]->at(y / factor, x / factor, c);
    }
  }
  return out;
}

using Reference = ReferenceMap (*)(const Node& node, const Inputs& inputs, Shape out_shape);

const std::map<std::string, Reference>& references() {
  static const std::map<std::string, Reference> table{
      {"add", sum},
      {"concat", concat},
      {"conv2d", conv},
      {"conv_transpose2d", conv_transpose},
      {"gc_block", gc_block},
      {"global_avg_pool", global_avg_pool},
      {"max_pool2d", max_pool},
      {"se_block", se_block},
      {"upsample_nearest", upsample_nearest},
  };
  return table;
}

}  // namespace

std::vector<ReferenceMap> run_reference(const Graph& graph, const ReferenceMap& input) {
  const std::vector<Shape> shapes = graph.infer_shapes(input.shape.h, input.shape.w);
  std::vector<ReferenceMap> tensors{input};
  for (const Node& node : graph.nodes()) {
    Inputs inputs;
    for (const int tensor : node.inputs) inputs.push_back(&tensors[at(tensor)]);
    tensors.push_back(references().at(node.kind->name)(node, inputs, shapes[tensors.size()]));
  }
  std::vector<ReferenceMap> outputs;
  for (const int output : graph.outputs()) outputs.push_back(tensors[at(output)]);
  return outputs;
}

}  // namespace lpn::test
