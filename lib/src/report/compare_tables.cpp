#include "report/compare_tables.h"

#include <algorithm>
#include <cstddef>
#include <string_view>
#include <vector>

#include "base/formatted.h"
#include "report/shown_number.h"
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

}  // namespace unroll
