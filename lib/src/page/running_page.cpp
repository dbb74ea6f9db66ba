#include "page/running_page.h"

#include "base/formatted.h"
#include "page/epoch_series.h"

namespace unroll {

std::string to_html(const RunningPage& page) {
  auto perplexity = perplexity_chart("Perplexity in training", "Of the first seed.");
  for (const auto& [name, epochs] : page.models) {
    perplexity.series.push_back(perplexity_series(name, epochs));
  }
  const bool runs = page.problem.empty();
  const auto status = runs ? running_status(formatted("Training {}", page.training), page.done,
                                            page.epochs, page.written_at)
                           : status_line(formatted("Stopped: {}", page.problem));
  return to_html(Page{.title = page.title,
                      .body = status + section("How they learn", figures({perplexity})) +
                              section_of(page.provenance),
                      .result = "{}",
                      .refresh_seconds = runs ? kRefreshSeconds : 0});
}

}  // namespace unroll
