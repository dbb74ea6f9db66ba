#include "report/compare_report.h"

#include <algorithm>
#include <optional>
#include <string_view>
#include <vector>

#include "base/formatted.h"
#include "report/json.h"
#include "report/shown_number.h"
#include "report/table.h"
#include "report/visible_text.h"

namespace unroll {
namespace {

constexpr double kMebi = 1024.0 * 1024;

std::string shown_name(const ComparedModel& model) { return visible(model.configuration.name); }

// The models that can be compared number by number with the first one.
std::vector<const ComparedModel*> comparable(const Comparison& comparison) {
  std::vector<const ComparedModel*> models;
  for (const auto& model : comparison.models) {
    if (&model != &comparison.models.front() && model.at_first) {
      models.push_back(&model);
    }
  }
  return models;
}

}  // namespace

Table differences_table(const Comparison& comparison) {
  Table table;
  const auto models = comparable(comparison);
  if (models.empty()) {
    return table;
  }
  const auto add = [&](const std::string& name, const auto& difference) {
    std::vector<std::string> row{name};
    for (const auto* model : models) {
      row.push_back(formatted("{:.1e}", difference(*model->at_first)));
      row.push_back(model->trained ? formatted("{:.1e}", difference(*model->trained)) : "-");
    }
    table.add(std::move(row));
  };
  std::vector<std::string> header{""};
  for (const auto* model : models) {
    header.push_back(shown_name(*model));
    header.emplace_back("trained");
  }
  table.add(std::move(header));
  add("logits", [](const Differences& differences) { return differences.logits; });
  add("states", [](const Differences& differences) { return differences.states; });
  const auto& gradients = models.front()->at_first->gradients;
  for (std::size_t k = 0; k < gradients.size(); ++k) {
    add(formatted("gradient of {}", gradients[k].first),
        [&](const Differences& differences) { return differences.gradients[k].second; });
  }
  return table;
}

namespace {

bool has_drift(const Comparison& comparison) {
  const auto kind = resolved(comparison.models.front().configuration.setup.config).model;
  const auto models = comparable(comparison);
  return std::any_of(models.begin(), models.end(), [&](const ComparedModel* model) {
    return resolved(model->configuration.setup.config).model != kind;
  });
}

}  // namespace

std::string notes(const Comparison& comparison) {
  const auto& first = comparison.models.front();
  std::string text;
  if (has_drift(comparison)) {
    text +=
        "Scratch and concise drift apart while they train: torch::nn has two biases a gate, each "
        "with the whole gradient.\n";
  }
  for (const auto& model : comparison.models) {
    if (!model.apart.empty()) {
      text += formatted("{} is not the same function as {}: {}.\n", shown_name(model),
                        shown_name(first), model.apart);
    }
    if (!model.diverged().empty()) {
      text += formatted("{}: {}.\n", shown_name(model), model.diverged());
    }
    if (model.apart.empty() && !model.at_first) {
      text += formatted("{} starts from other weights than {}: seed {}, not {}.\n",
                        shown_name(model), shown_name(first), model.configuration.data.seed,
                        first.configuration.data.seed);
    }
  }
  return text;
}

Table perplexity_table(const Comparison& comparison) {
  std::size_t epochs = 0;
  std::vector<std::string> header{"epoch"};
  for (const auto& model : comparison.models) {
    epochs = std::max(epochs, model.trainings.front().result.epochs.size());
    header.push_back(shown_name(model));
  }
  Table table;
  table.add(std::move(header));
  const auto stride = std::max<std::size_t>(1, epochs / 10);
  for (std::size_t e = 0; e < epochs; ++e) {
    if (e != 0 && e != epochs - 1 && (e + 1) % stride != 0) {
      continue;
    }
    std::vector<std::string> row{formatted("{:>5}", e + 1)};
    for (const auto& model : comparison.models) {
      const auto& all = model.trainings.front().result.epochs;
      row.push_back(e < all.size() ? shown_number(all[e].perplexity, 4) : "");
    }
    table.add(std::move(row));
  }
  return table;
}

namespace {

bool validates(const Comparison& comparison) {
  const auto& models = comparison.models;
  return std::any_of(models.begin(), models.end(),
                     [](const auto& model) { return model.valid_perplexity().has_value(); });
}

bool has_other_tokens(const Comparison& comparison) {
  const auto& models = comparison.models;
  return std::any_of(models.begin(), models.end(), [&](const ComparedModel& model) {
    return model.configuration.vocab->tokens() != models.front().configuration.vocab->tokens();
  });
}

}  // namespace

Table results_table(const Comparison& comparison) {
  const auto& models = comparison.models;
  const bool with_validation = validates(comparison);
  const bool other_tokens = has_other_tokens(comparison);
  const auto seeds = models.front().trainings.size();
  Table table;
  std::vector<std::string> header{"", "perplexity"};
  const auto add_column = [&](bool is_there, const char* name) {
    if (is_there) {
      header.emplace_back(name);
    }
  };
  add_column(with_validation, "validation");
  add_column(other_tokens, "bits/character");
  add_column(seeds > 1, "beyond spread");
  for (const char* name : {"tokens/s", "MiB", "parameters"}) {
    header.emplace_back(name);
  }
  table.add(std::move(header));
  for (const auto& model : models) {
    std::vector<std::string> row{shown_name(model), model.diverged().empty()
                                                        ? shown_spread(model.perplexity(), seeds, 4)
                                                        : "diverged"};
    if (with_validation) {
      const auto valid = model.valid_perplexity();
      row.push_back(valid ? shown_spread(*valid, seeds, 4) : "-");
    }
    if (other_tokens) {
      row.push_back(shown_number(model.bits_per_character(), 4));
    }
    if (seeds > 1) {
      const auto beyond = comparison.is_beyond_spread(model);
      row.emplace_back(!beyond ? "-" : *beyond ? "yes" : "no");
    }
    row.push_back(formatted("{:.1f}", model.tokens_per_second()));
    row.push_back(formatted("{:.0f}", static_cast<double>(model.peak_bytes) / kMebi));
    row.push_back(formatted("{}", model.parameters));
    table.add(std::move(row));
  }
  return table;
}

std::string notes_on_results(const Comparison& comparison) {
  const auto& first = comparison.models.front();
  std::string text;
  if (const auto seeds = first.trainings.size(); seeds > 1) {
    text += formatted(
        "Mean and standard deviation over {} seeds; beyond spread: whether the {} differs from "
        "that of {} by more than two trainings do that differ by their seed alone.\n",
        seeds, validates(comparison) ? "validation perplexity" : "perplexity", shown_name(first));
  }
  if (has_other_tokens(comparison)) {
    text += "Perplexities of different tokens cannot be compared; bits a character can.\n";
  }
  return text;
}

namespace {

std::string predictions_table(const Comparison& comparison) {
  int64_t widest = 0;
  for (const auto& model : comparison.models) {
    widest = std::max(widest, display_width(shown_name(model)));
  }
  std::string text;
  for (const auto& model : comparison.models) {
    const auto name = shown_name(model);
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

std::string differences_caption(const Comparison& comparison) {
  return formatted(
      "Largest differences from {} on the first batch, from the same weights and once trained",
      shown_name(comparison.models.front()));
}

std::string perplexity_caption(const Comparison& comparison) {
  return comparison.models.front().trainings.size() > 1
             ? "Perplexity in training, of the first seed"
             : "Perplexity in training";
}

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
        predictions_table(comparison)}) {
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
