#include "page/train_page.h"

#include <algorithm>
#include <array>
#include <utility>

#include "base/formatted.h"
#include "page/epoch_series.h"
#include "page/html.h"

namespace unroll {
namespace {

std::vector<Chart> charts_of(const TrainPage& page) {
  const auto& epochs = page.report.result.epochs;
  const auto chart = [](const char* title, const char* ylabel, const char* about) {
    return Chart{
        .title = title, .about = about, .xlabel = "epoch", .ylabel = ylabel, .whole_x = true};
  };
  auto perplexity =
      perplexity_chart("Perplexity", "1 is certainty; as many as there are tokens is guessing.");
  perplexity.series = {perplexity_series("training", epochs)};
  auto valid = validation_series("validation", epochs);
  if (!valid.x.empty()) {
    perplexity.series.push_back(std::move(valid));
  }
  auto norm =
      norm_chart(page.clip > 0 ? "Mean over the epoch's steps, before clipping: a longer gradient "
                                 "is shortened to the bound."
                               : "Mean over the epoch's steps.");
  norm.series = {norm_series("norm", epochs)};
  if (page.clip > 0) {
    norm.limit = {.name = formatted("clip {}", page.clip), .y = page.clip};
  }
  auto rate = chart("Learning rate", "rate", "Of each epoch's last step.");
  rate.series = {epoch_series("rate", epochs, [](const auto& stats) { return stats.lr; })};
  auto speed = chart("Speed", "tokens/s", "Without predictions and validation.");
  speed.series = {
      epoch_series("tokens/s", epochs, [](const auto& stats) { return stats.tokens_per_second; })};
  return {perplexity, norm, rate, speed};
}

std::string status_of(const TrainPage& page) {
  const auto done = static_cast<int64_t>(page.report.result.epochs.size());
  switch (page.status) {
    case TrainPage::Status::kRuns:
      return running_status("Training", done, page.epochs, page.written_at);
    case TrainPage::Status::kEnded:
      return status_line(formatted("Trained for {}{}.", counted(done, "epoch"),
                                   page.report.result.stopped_early ? ", stopped early" : ""));
    case TrainPage::Status::kStopped:
      return status_line(formatted("Stopped after {} of {}: {}", done,
                                   counted(page.epochs, "epoch"), page.problem));
  }
  return {};
}

std::string facts_of(const TrainPage& page) {
  const auto& report = page.report;
  const auto& epochs = report.result.epochs;
  std::vector<std::pair<std::string, std::string>> all;
  const auto add = [&](const std::string& name, std::string value) {
    all.emplace_back(name, std::move(value));
  };
  if (!epochs.empty()) {
    add("perplexity", number(report.result.perplexity(), 2));
  }
  if (const auto* valid = report.result.last_validated()) {
    add("validation", number(*valid->valid_perplexity, 2));
    add("at best", number(report.result.best.perplexity, 2) +
                       formatted(" in epoch {}", report.result.best.epoch));
  }
  if (!epochs.empty()) {
    add("tokens/s", number(report.result.tokens_per_second(), 0));
  }
  add("parameters", formatted("{}", parameter_count(report.config, report.vocab_size)));
  add("tokens trained on", formatted("{}", report.tokens));
  add("vocabulary", formatted("{}", report.vocab_size));
  add("computed", formatted("{}, {}", to_string(report.effective.backend),
                            to_string(report.effective.precision)));
  return facts(all);
}

std::string samples_of(const TrainPage& page) {
  std::vector<std::array<std::string, 2>> rows;
  rows.reserve(page.samples.size());
  for (const auto& [epoch, text] : page.samples) {
    rows.push_back({formatted("{}", epoch), text});
  }
  return text_table(
      page.resumed_after > 0
          ? formatted("Since the training was resumed after epoch {}", page.resumed_after)
          : std::string("The first prompt continued by the most likely token each time"),
      {"epoch", "text"}, rows);
}

// All epochs if they are few, else about fifty with the first and the last.
std::string epochs_of(const TrainPage& page) {
  const auto& epochs = page.report.result.epochs;
  if (epochs.empty()) {
    return {};
  }
  const bool validates = page.report.result.last_validated() != nullptr;
  std::vector<std::vector<std::string>> rows{
      {"epoch", "perplexity", "gradient norm", "learning rate", "tokens/s", "seconds"}};
  if (validates) {
    rows[0].insert(rows[0].begin() + 2, "validation");
  }
  const auto stride = std::max<std::size_t>(1, epochs.size() / 50);
  for (std::size_t e = 0; e < epochs.size(); ++e) {
    const auto& stats = epochs[e];
    if (e != 0 && e + 1 != epochs.size() && (e + 1) % stride != 0) {
      continue;
    }
    std::vector<std::string> row{formatted("{}", stats.epoch),       number(stats.perplexity, 4),
                                 number(stats.grad_norm, 4),         number(stats.lr, 6),
                                 number(stats.tokens_per_second, 0), number(stats.seconds, 3)};
    if (validates) {
      row.insert(row.begin() + 2, stats.valid_perplexity ? number(*stats.valid_perplexity, 4) : "");
    }
    rows.push_back(std::move(row));
  }
  return "<details>\n<summary>Figures by epoch</summary>\n" + html_table("Figures by epoch", rows) +
         "</details>\n";
}

std::string predictions_of(const TrainPage& page) {
  std::string html;
  for (const auto& text : page.report.result.predictions) {
    html += element("pre", escaped(text), {{"tabindex", "0"}}) + "\n";
  }
  return html;
}

}  // namespace

std::string to_html(const TrainPage& page) {
  const auto config = resolved(page.report.config);
  Page html{.title = formatted("{} {}, {}{}, on {}", to_string(*config.model),
                               to_string(config.cell), counted(config.hidden, "hidden unit"),
                               config.layers > 1 ? formatted(", {} layers", config.layers) : "",
                               page.text),
            .result = to_json(page.report),
            .refresh_seconds = page.status == TrainPage::Status::kRuns ? kRefreshSeconds : 0};
  html.body = status_of(page) + facts_of(page) + section_of(page.provenance) +
              section("How it learned", figures(charts_of(page)) + epochs_of(page)) +
              section("What it continues", predictions_of(page)) +
              section("What it wrote while it learned", samples_of(page)) + page.inspection;
  return to_html(html);
}

}  // namespace unroll
