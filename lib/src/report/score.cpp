#include "report/score.h"

#include "base/formatted.h"
#include "report/json.h"
#include "report/visible_text.h"

namespace unroll {

std::string score_header() { return "perplexity\tnats\ttokens\tunknown\twhere"; }

std::string score_row(const Score& score) {
  const auto& result = score.result;
  const auto where =
      score.line > 0 ? formatted("{}:{}\t{}", score.text, score.line, score.content) : score.text;
  return formatted("{}\t{:.4f}\t{}\t{}\t{}",
                   result.tokens > 0 ? formatted("{:.4f}", result.perplexity()) : std::string("-"),
                   result.nats, result.tokens, result.unknown, visible(where, "\t"));
}

std::string to_json(const Score& score) {
  const auto& result = score.result;
  Json json{{"perplexity", result.perplexity()},
            {"known_perplexity", result.known_perplexity()},
            {"nats", result.nats},
            {"tokens", result.tokens},
            {"unknown", result.unknown},
            {"text", score.text}};
  if (score.line > 0) {
    json["line"] = score.line;
    json["content"] = score.content;
  }
  return dump(json);
}

}  // namespace unroll
