#include "study/selective_units.h"

#include <algorithm>
#include <cmath>

#include "base/formatted.h"
#include "infer/vocab_fits.h"
#include "study/plain_copy.h"
#include "study/token_properties.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// (N,L*H) float32: h of all layers after each token.
torch::Tensor activations_on(SequenceModel& net, const torch::Tensor& tokens) {
  auto state = net.begin_state(1);
  std::vector<torch::Tensor> rows;
  for (const auto& token : tokens.view({-1, 1, 1}).unbind()) {
    state = net.forward(token, state).second;
    rows.push_back(state.front().flatten());
    if (!rows.back().isfinite().all().item<bool>()) {
      throw Error(formatted(
          "the model's state after token {} of the text is not finite; its training has diverged",
          rows.size() - 1));
    }
  }
  return torch::stack(rows);
}

// Columns of mean 0 and norm 1, in float64: the product of two is their correlation. A column that
// is constant, but for what float32 rounds, becomes zero.
torch::Tensor standardised(const torch::Tensor& columns) {
  constexpr double kRounding = 1e-5;
  const auto values = columns.to(torch::kFloat64);
  const auto range = values.amax(0) - values.amin(0);
  const auto varies = range > kRounding * values.abs().amax(0);
  const auto centred = values - values.mean(0, /*keepdim=*/true);
  return torch::where(varies, centred / centred.norm(2, 0), torch::zeros({}, torch::kFloat64));
}

// (N,P) float64: the properties' values, a column each.
torch::Tensor columns_of(const std::vector<TokenProperty>& properties) {
  std::vector<torch::Tensor> columns;
  columns.reserve(properties.size());
  for (const auto& property : properties) {
    columns.push_back(torch::tensor(property.values, torch::kFloat64));
  }
  return torch::stack(columns, 1);
}

// A property and a unit, which can be of any layer.
struct Match {
  std::size_t property;
  std::size_t unit;
  double correlation;

  // Those that differ by rounding alone are equal, so that every machine ranks them alike.
  int64_t rank() const { return std::llround(std::abs(correlation) * 1e9); }
};

// All that correlate at all, the closest first, then by property and unit.
std::vector<Match> ranked_matches(const torch::Tensor& correlations) {
  const auto values = correlations.contiguous();
  const auto units = static_cast<std::size_t>(values.size(1));
  std::vector<Match> matches;
  for (std::size_t i = 0; i < static_cast<std::size_t>(values.numel()); ++i) {
    const Match match{.property = i / units,
                      .unit = i % units,
                      .correlation = values.const_data_ptr<double>()[i]};
    if (match.rank() > 0) {
      matches.push_back(match);
    }
  }
  std::stable_sort(matches.begin(), matches.end(),
                   [](const Match& a, const Match& b) { return a.rank() > b.rank(); });
  return matches;
}

}  // namespace

std::vector<SelectiveUnit> selective_units(const ModelConfig& config, const NamedTensors& weights,
                                           const torch::Tensor& tokens, const Vocab& vocab,
                                           int64_t count) {
  constexpr int kMostOfAProperty = 2;
  const auto net = plain_copy(config, weights);
  check_vocab_fits(*net, vocab);
  check_corpus_fits(*net, tokens);
  const Inference inference(*net);
  const auto properties = token_properties(tokens, vocab);
  std::vector<SelectiveUnit> found;
  if (properties.empty() || net->begin_state(1).empty()) {
    return found;
  }
  const auto activations = activations_on(*net, tokens.to(torch::kCPU, torch::kInt64));
  const auto correlations =
      standardised(columns_of(properties)).t().matmul(standardised(activations));
  std::vector<int> times_shown(properties.size());
  std::vector<bool> is_shown(static_cast<std::size_t>(activations.size(1)));
  for (const auto& [property, unit, correlation] : ranked_matches(correlations)) {
    if (std::ssize(found) >= count) {
      break;
    }
    if (is_shown[unit] || times_shown[property] == kMostOfAProperty) {
      continue;
    }
    is_shown[unit] = true;
    ++times_shown[property];
    const auto at = static_cast<int64_t>(unit);
    const auto values = activations.select(1, at).contiguous();
    const auto* first = values.const_data_ptr<float>();
    found.push_back({.layer = at / config.hidden,
                     .unit = at % config.hidden,
                     .follows = properties[property].name,
                     .needs_memory = properties[property].needs_memory,
                     .correlation = correlation,
                     .activations = {first, first + values.numel()}});
  }
  return found;
}

}  // namespace unroll
