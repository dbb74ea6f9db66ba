#include "report/compare_report.h"

#include <algorithm>
#include <optional>

#include "base/formatted.h"
#include "report/compare_tables.h"
#include "report/json.h"
#include "report/table.h"
#include "report/visible_text.h"

namespace unroll {
namespace {

std::string predictions_text(const Comparison& comparison) {
  int64_t widest = 0;
  for (const auto& model : comparison.models) {
    widest = std::max(widest, display_width(visible(model.configuration.name)));
  }
  std::string text;
  for (const auto& model : comparison.models) {
    const auto name = visible(model.configuration.name);
    for (const auto& prediction : model.trainings.front().result.predictions) {
      text += formatted(
          "{}:{}{}\n", name,
          std::string(static_cast<std::size_t>(widest - display_width(name)) + 1, ' '), prediction);
    }
  }
  return text;
}

Json summary_of(const Differences& differences) {
  return {{"logits", differences.logits},
          {"states", differences.states},
          {"gradients", differences.gradient()}};
}

Json to_json_object(const std::optional<Differences>& differences) {
  if (!differences) {
    return {};
  }
  auto json = summary_of(*differences);
  for (const auto& [weight, difference] : differences->gradients) {
    json["gradient_by_weight"][weight] = difference;
  }
  return json;
}

Json to_json_object(const Spread& spread) {
  return {{"mean", spread.mean}, {"deviation", spread.deviation}};
}

// One value of each epoch.
template <typename Member>
Json by_epoch(const TrainResult& training, Member member) {
  Json values = Json::array();
  for (const auto& epoch : training.epochs) {
    values.push_back(epoch.*member);
  }
  return values;
}

Json to_json_object(const ComparedModel& model, const Comparison& comparison) {
  const auto& [configuration, effective, parameters, apart, at_first, trained, peak_bytes,
               trainings] = model;
  const auto& first = trainings.front().result;
  const auto diverged = model.diverged();
  Json json = describe_model(configuration.setup.name(), configuration.setup.config, effective);
  json["name"] = configuration.name;
  json["same_function"] = apart.empty();
  json["apart"] = apart;
  json["perplexity_by_epoch"] = by_epoch(first, &EpochStats::perplexity);
  json["perplexity"] = trainings.front().perplexity();
  if (!diverged.empty()) {
    json["diverged"] = diverged;
  }
  if (const auto valid = first.valid_perplexity()) {
    json["valid_perplexity"] = *valid;
  }
  json["bits_per_character"] = model.bits_per_character();
  json["tokens_per_second"] = model.tokens_per_second();
  json["seconds"] = first.seconds;
  json["predictions"] = first.predictions;
  json["parameters"] = parameters;
  json["peak_bytes"] = peak_bytes;
  json["differences"] = to_json_object(at_first);
  json["differences_trained"] = to_json_object(trained);
  if (trainings.size() > 1) {
    Json perplexities = Json::array();
    for (const auto& training : trainings) {
      perplexities.push_back(training.perplexity());
    }
    json["perplexity_by_seed"] = perplexities;
    json["perplexity_spread"] = to_json_object(model.perplexity());
    if (const auto valid = model.valid_perplexity()) {
      json["valid_perplexity_spread"] = to_json_object(*valid);
    }
    const auto beyond = comparison.is_beyond_spread(model);
    json["beyond_spread"] = beyond ? Json(*beyond) : Json();
  }
  return json;
}

}  // namespace

std::string table(const Comparison& comparison) {
  const auto captioned = [](const std::string& caption, const Table& table) {
    return table.rows().empty() ? "" : caption + ":\n" + table.text();
  };
  std::string text;
  for (const auto& part :
       {captioned(differences_caption(comparison), differences_table(comparison)) +
            notes(comparison),
        captioned(perplexity_caption(comparison), perplexity_table(comparison)),
        results_table(comparison).text() + notes_on_results(comparison),
        predictions_text(comparison)}) {
    text += text.empty() || part.empty() ? part : "\n" + part;
  }
  return text;
}

std::string to_json(const Comparison& comparison) {
  Json json;
  for (const auto& model : comparison.models) {
    const auto& name = model.configuration.name;
    if (model.at_first && (name == "concise" || name == "fused")) {
      json[name == "concise" ? "differences" : "fused_differences"] = summary_of(*model.at_first);
    }
  }
  json["models"] = Json::array();
  for (const auto& model : comparison.models) {
    json["models"].push_back(to_json_object(model, comparison));
  }
  return dump(json);
}

}  // namespace unroll
