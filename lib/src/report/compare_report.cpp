#include "report/compare_report.h"

#include <algorithm>

#include "base/formatted.h"
#include "report/json.h"

namespace unroll {
namespace {

// The model that the others are compared with.
constexpr std::string_view kReference = "scratch";

Json to_json_object(const Differences& differences) {
  return {{"logits", differences.logits},
          {"states", differences.states},
          {"gradients", differences.gradients}};
}

}  // namespace

std::string table(const Comparison& comparison) {
  std::string text =
      "From the same weights, on the first batch, the largest differences from scratch:\n";
  for (const auto& model : comparison.models) {
    if (model.setup.name() != kReference) {
      text += formatted("  {:<9}logits {:.1e}, states {:.1e}, gradients {:.1e}\n",
                        model.setup.name(), model.differences.logits, model.differences.states,
                        model.differences.gradients);
    }
  }
  text +=
      "While training, concise drifts away: torch::nn has two biases a gate, each with the whole "
      "gradient.\n\n";

  text += formatted("{:>8}", "epoch");
  for (const auto& model : comparison.models) {
    text += formatted("{:>22}", formatted("{} perplexity", model.setup.name()));
  }
  text += '\n';
  // About ten rows, the first and the last among them.
  std::size_t epochs = 0;
  for (const auto& model : comparison.models) {
    epochs = std::max(epochs, model.training.epochs.size());
  }
  const auto stride = std::max<std::size_t>(1, epochs / 10);
  for (std::size_t e = 0; e < epochs; ++e) {
    if (e != 0 && e != epochs - 1 && (e + 1) % stride != 0) {
      continue;
    }
    text += formatted("{:>8}", e + 1);
    for (const auto& model : comparison.models) {
      text += formatted("{:>22.4f}", model.training.epochs[e].perplexity);
    }
    text += '\n';
  }
  text += formatted("\n{:>8}", "tokens/s");
  for (const auto& model : comparison.models) {
    text += formatted("{:>22.1f}", model.training.tokens_per_second());
  }
  text += '\n';
  for (const auto& model : comparison.models) {
    for (const auto& prediction : model.training.predictions) {
      text += formatted("\n{:<9}{}", formatted("{}:", model.setup.name()), prediction);
    }
  }
  return text;
}

std::string to_json(const Comparison& comparison) {
  Json json;
  for (const auto& model : comparison.models) {
    if (const auto name = model.setup.name(); name != kReference) {
      json[name == "concise" ? "differences" : name + "_differences"] =
          to_json_object(model.differences);
    }
  }
  json["models"] = Json::array();
  for (const auto& model : comparison.models) {
    Json perplexities = Json::array();
    for (const auto& epoch : model.training.epochs) {
      perplexities.push_back(epoch.perplexity);
    }
    Json entry = describe_model(model.setup.name(), model.setup.config, model.effective);
    entry["perplexity_by_epoch"] = perplexities;
    entry["perplexity"] = model.training.perplexity();
    entry["tokens_per_second"] = model.training.tokens_per_second();
    entry["seconds"] = model.training.seconds;
    entry["predictions"] = model.training.predictions;
    json["models"].push_back(entry);
  }
  return dump(json);
}

}  // namespace unroll
