#include "page/running_page.h"

#include "page/epoch_series.h"

namespace unroll {

std::string to_html(const RunningPage& page) {
  auto perplexity = perplexity_chart("Perplexity in training", "Of the first seed.");
  perplexity.series = page.curves;
  return to_html(Page{.title = page.title,
                      .body = page.status + section("How they learn", figures({perplexity})) +
                              section_of(page.provenance),
                      .result = "{}",
                      .refresh_seconds = page.runs ? kRefreshSeconds : 0});
}

}  // namespace unroll
