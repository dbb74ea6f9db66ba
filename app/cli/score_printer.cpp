#include "cli/score_printer.h"

#include <cstdio>

#include "base/formatted.h"
#include "cli/message.h"

namespace unroll::app {

ScorePrinter::ScorePrinter(const Options& options)
    : json_(options.is_set("json")), quiet_(options.is_set("quiet")) {
  if (!json_ && !quiet_) {
    print_note(score_header() + "\n");
  }
}

void ScorePrinter::print(const Score& score) {
  print_formatted(stdout, "{}\n", json_ ? to_json(score) : score_row(score));
  scores_ += score.result.tokens > 0 ? 1 : 0;
  sum_.nats += score.result.nats;
  sum_.tokens += score.result.tokens;
  sum_.unknown += score.result.unknown;
}

void ScorePrinter::finish() const {
  std::fflush(stdout);
  if (!quiet_ && sum_.tokens > 0) {
    print_note(formatted("perplexity {:.4f} of the {} that have one, {} predicted, {} unknown\n",
                         sum_.perplexity(), scores_, counted(sum_.tokens, "token"), sum_.unknown));
  }
}

}  // namespace unroll::app
