#include "page/reproduce_page.h"

#include "page/epoch_series.h"
#include "page/html.h"
#include "report/reproduce_report.h"

namespace unroll {

std::string to_html(const std::vector<Reproduction>& rows, const Provenance& provenance) {
  auto perplexity = perplexity_chart("Perplexity in training", "Of the first seed.");
  for (const auto& row : rows) {
    perplexity.series.push_back(
        perplexity_series(std::string(row.published.name), row.trainings.front().result.epochs));
  }
  return to_html(
      Page{.title = "The notebook's published results, reproduced",
           .body = section("Results", html_table("Published and own results", results_table(rows)) +
                                          paragraphs(notes(rows))) +
                   section("How they learned", figures({perplexity})) + section_of(provenance),
           .result = to_json(rows)});
}

}  // namespace unroll
