#include "report/reproduce_report.h"

#include <algorithm>
#include <utility>

#include "base/formatted.h"
#include "report/json.h"
#include "report/shown_number.h"
#include "report/table.h"

namespace unroll {
namespace {

bool has(const std::vector<Reproduction>& rows, Verdict verdict) {
  return std::any_of(rows.begin(), rows.end(),
                     [&](const Reproduction& row) { return row.verdict() == verdict; });
}

std::string own_perplexity(const Reproduction& row) {
  return row.diverged().empty() ? shown_spread(row.perplexity(), row.trainings.size(), 3)
                                : "diverged";
}

Json to_json_object(const Reproduction& row) {
  const auto& [published, effective, trainings] = row;
  const auto diverged = row.diverged();
  Json json{
      {"name", published.name},
      {"published",
       {{"perplexity", published.perplexity}, {"tokens_per_second", published.tokens_per_second}}}};
  json.update(
      describe_model(to_string(published.config.model.value()), published.config, effective));
  json["perplexity"] = row.perplexity().mean;
  json["deviation"] = row.perplexity().deviation;
  json["perplexity_by_seed"] = Json::array();
  for (const auto& training : trainings) {
    json["perplexity_by_seed"].push_back(training.perplexity());
  }
  json["epochs"] = row.epochs();
  json["tokens_per_second"] = row.tokens_per_second();
  json["verdict"] = to_string(row.verdict());
  if (!diverged.empty()) {
    json["diverged"] = diverged;
  }
  json["predictions"] = trainings.front().result.predictions;
  return json;
}

}  // namespace

bool has_failed(const std::vector<Reproduction>& rows) { return has(rows, Verdict::kFail); }

Table results_table(const std::vector<Reproduction>& rows) {
  Table table;
  table.add({"", "published", "own", "verdict", "epochs", "published tokens/s", "own tokens/s"});
  for (const auto& row : rows) {
    const auto& [perplexity, speeds] =
        std::pair(row.published.perplexity, row.published.tokens_per_second);
    table.add({std::string(row.published.name),
               formatted("{:.1f}-{:.1f}", perplexity[0], perplexity[1]), own_perplexity(row),
               std::string(to_string(row.verdict())), formatted("{}", row.epochs()),
               formatted("{:.0f} / {:.0f} / {:.0f}", speeds[0], speeds[1], speeds[2]),
               formatted("{:.0f}", row.tokens_per_second())});
  }
  return table;
}

std::string notes(const std::vector<Reproduction>& rows) {
  std::string text =
      "Perplexity after the last epoch: the range of some 70 published runs, and its own mean over "
      "the seeds, rounded to one decimal to be judged.\nPublished tokens/s: least, median and "
      "most, on data-centre GPUs.\n";
  if (has(rows, Verdict::kBetter)) {
    text += "better: lower than any published run.\n";
  }
  if (has(rows, Verdict::kNotYet)) {
    text += "not yet: fewer than the 500 epochs of the published runs.\n";
  }
  for (const auto& row : rows) {
    if (!row.diverged().empty()) {
      text += formatted("{}: {}.\n", row.published.name, row.diverged());
    }
  }
  return text;
}

std::string table(const std::vector<Reproduction>& rows) {
  return results_table(rows).text() + "\n" + notes(rows);
}

std::string to_json(const std::vector<Reproduction>& rows) {
  Json json{{"passed", !has(rows, Verdict::kFail) && !has(rows, Verdict::kNotYet)},
            {"rows", Json::array()}};
  for (const auto& row : rows) {
    json["rows"].push_back(to_json_object(row));
  }
  return dump(json);
}

}  // namespace unroll
