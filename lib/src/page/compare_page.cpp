#include "page/compare_page.h"

#include <array>
#include <vector>

#include "base/formatted.h"
#include "page/epoch_series.h"
#include "page/html.h"
#include "report/compare_report.h"
#include "report/compare_tables.h"

namespace unroll {
namespace {

std::vector<Chart> charts_of(const Comparison& comparison) {
  auto perplexity =
      perplexity_chart(perplexity_caption(comparison), "Of the text that is trained on.");
  auto valid = perplexity_chart("Perplexity in validation", "Of the text that is not trained on.");
  auto norm = norm_chart("Mean over the epoch's steps, before clipping.");
  for (const auto& model : comparison.models) {
    const auto& epochs = model.trainings.front().result.epochs;
    const auto& name = model.configuration.name;
    perplexity.series.push_back(perplexity_series(name, epochs));
    valid.series.push_back(validation_series(name, epochs));
    norm.series.push_back(norm_series(name, epochs));
  }
  return {perplexity, valid, norm};
}

std::string predictions_of(const Comparison& comparison) {
  std::vector<std::array<std::string, 2>> rows;
  for (const auto& model : comparison.models) {
    for (const auto& text : model.trainings.front().result.predictions) {
      rows.push_back({model.configuration.name, text});
    }
  }
  return text_table("The prompts continued", {"model", "text"}, rows);
}

}  // namespace

std::string to_html(const Comparison& comparison, const Provenance& provenance) {
  std::vector<std::string> names;
  names.reserve(comparison.models.size());
  for (const auto& model : comparison.models) {
    names.push_back(model.configuration.name);
  }
  return to_html(Page{
      .title = joined(names, ", ") + " compared",
      .body = section("Results", html_table("After the last epoch", results_table(comparison)) +
                                     paragraphs(notes_on_results(comparison))) +
              section("How they learned",
                      figures(charts_of(comparison)) + html_table(perplexity_caption(comparison),
                                                                  perplexity_table(comparison))) +
              section("How far they differ",
                      html_table(differences_caption(comparison), differences_table(comparison)) +
                          paragraphs(notes(comparison))) +
              section("What they continue", predictions_of(comparison)) + section_of(provenance),
      .result = to_json(comparison)});
}

}  // namespace unroll
