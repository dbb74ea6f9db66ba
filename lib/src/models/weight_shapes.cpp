#include "models/weight_shapes.h"

#include <algorithm>
#include <map>
#include <string_view>

#include "base/abridged.h"
#include "base/formatted.h"
#include "models/arguments.h"
#include "models/cell_kind.h"
#include "unroll/error.h"

namespace unroll {
namespace {

std::vector<WeightShape> scratch_shapes(const ModelConfig& config, int64_t V) {
  const int64_t H = config.hidden;
  std::vector<WeightShape> shapes;
  if (config.cell == Cell::kMlp) {
    shapes = {{"W_xh", {V, H}}, {"b_h", {H}}};
  } else {
    const auto table = table_of(cell_kind(config));
    for (int g = 0; g < table.gate_count; ++g) {
      const std::string suffix = table.gates[g].suffix;
      shapes.push_back({"W_x" + suffix, {V, H}});
      shapes.push_back({"W_h" + suffix, {H, H}});
      shapes.push_back({"b_" + suffix, {H}});
    }
    if (table.has_b_hh) {
      shapes.push_back({"b_hh", {H}});
    }
  }
  shapes.push_back({"W_hq", {H, V}});
  shapes.push_back({"b_q", {V}});
  return shapes;
}

// torch::nn stacks the gates, and has two biases a gate.
std::vector<WeightShape> concise_shapes(const ModelConfig& config, int64_t V) {
  const int64_t H = config.hidden;
  const int64_t rows = gate_count(cell_kind(config)) * H;
  std::vector<WeightShape> shapes;
  for (int64_t l = 0; l < config.layers; ++l) {
    shapes.push_back({formatted("rnn.weight_ih_l{}", l), {rows, l == 0 ? V : H}});
    shapes.push_back({formatted("rnn.weight_hh_l{}", l), {rows, H}});
    shapes.push_back({formatted("rnn.bias_ih_l{}", l), {rows}});
    shapes.push_back({formatted("rnn.bias_hh_l{}", l), {rows}});
  }
  shapes.push_back({"linear.weight", {V, H}});
  shapes.push_back({"linear.bias", {V}});
  return shapes;
}

}  // namespace

std::vector<WeightShape> weight_shapes(const ModelConfig& config, int64_t vocab_size) {
  check(config);
  return resolved(config).model == ModelKind::kScratch ? scratch_shapes(config, vocab_size)
                                                       : concise_shapes(config, vocab_size);
}

void check_weights(const ModelConfig& config, int64_t vocab_size, const NamedTensors& weights) {
  const auto expected = weight_shapes(config, vocab_size);
  const auto count = std::min(expected.size(), weights.size());
  for (std::size_t i = 0; i < count; ++i) {
    if (weights[i].name != expected[i].name) {
      throw Error(formatted("weight {} must be {}, got {}", i, expected[i].name, weights[i].name));
    }
    check_shape(weights[i].tensor, expected[i].sizes, expected[i].name);
  }
  if (weights.size() != expected.size()) {
    throw Error(formatted("there must be {} weights, got {}", expected.size(), weights.size()));
  }
}

NamedTensors ordered_weights(const ModelConfig& config, int64_t vocab_size,
                             const NamedTensors& weights) {
  // The description may come from a file, whose memory is bounded by what it holds.
  if (config.layers > static_cast<int64_t>(weights.size())) {
    throw Error(formatted("{} weights are too few for {} layers", weights.size(), config.layers));
  }
  std::map<std::string_view, torch::Tensor> by_name;
  for (const auto& [name, tensor] : weights) {
    by_name.emplace(name, tensor);
  }
  NamedTensors ordered;
  for (const auto& [name, sizes] : weight_shapes(config, vocab_size)) {
    const auto found = by_name.extract(name);
    if (found.empty()) {
      throw Error(formatted("weight {} of shape [{}] is missing", name, joined(sizes, ", ")));
    }
    check_shape(found.mapped(), sizes, formatted("weight {}", name));
    ordered.push_back({name, found.mapped()});
  }
  if (!by_name.empty()) {
    throw Error(formatted("weight '{}' is not the model's", abridged(by_name.begin()->first)));
  }
  return ordered;
}

int64_t parameter_count(const ModelConfig& config, int64_t vocab_size) {
  int64_t count = 0;
  for (const auto& [name, sizes] : weight_shapes(config, vocab_size)) {
    count += c10::multiply_integers(sizes);
  }
  return count;
}

}  // namespace unroll
