#include "report/evaluate_report.h"

#include <numbers>

#include "base/formatted.h"
#include "report/json.h"

namespace unroll {

double EvaluateReport::bits_per_character() const {
  return result.nats / std::numbers::ln2 / static_cast<double>(characters);
}

std::string summary(const EvaluateReport& report) {
  const auto& result = report.result;
  const auto known = result.unknown > 0 ? formatted(", {:.4f} without the unknown tokens",
                                                    result.known_perplexity())
                                        : std::string();
  auto text = formatted(
      "perplexity {:.4f}{}\n"
      "{:.4f} nats, {:.4f} bits a token\n"
      "{:.4f} bits a {}\n"
      "{} predicted in {}, {} of the text unknown\n",
      result.perplexity(), known, result.nats_per_token(), result.bits_per_token(),
      report.bits_per_character(), report.tokens == TokenKind::kByte ? "byte" : "character",
      counted(result.tokens, "token"), counted(result.rows, "row"), report.unknown);
  if (const auto& copied = report.copied; copied && copied->span.length == 0) {
    text += formatted("nothing is copied from {}\n", copied->source);
  } else if (copied) {
    text += formatted("longest copied span: {} tokens, at token {} here and {} in {}: {}\n",
                      copied->span.length, copied->span.sample_start, copied->span.source_start,
                      copied->source, dump(copied->text));
  }
  return text;
}

std::string to_json(const EvaluateReport& report) {
  const auto& result = report.result;
  Json json{{"perplexity", result.perplexity()},
            {"known_perplexity", result.known_perplexity()},
            {"nats_per_token", result.nats_per_token()},
            {"bits_per_token", result.bits_per_token()},
            {"bits_per_character", report.bits_per_character()},
            {"tokens", result.tokens},
            {"characters", report.characters},
            {"unknown", report.unknown},
            {"batch_size", result.rows},
            {"text", report.text}};
  if (const auto& copied = report.copied) {
    json["copied"] = {{"length", copied->span.length},
                      {"text_start", copied->span.sample_start},
                      {"source_start", copied->span.source_start},
                      {"source", copied->source},
                      {"span", copied->text}};
  }
  return dump(json);
}

}  // namespace unroll
