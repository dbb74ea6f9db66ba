#include "page/evaluate_page.h"

#include "base/formatted.h"
#include "page/html.h"

namespace unroll {

std::string to_html(const EvaluateReport& report, const std::vector<ColouredToken>& tokens,
                    const std::string& inspection, const Provenance& provenance) {
  const auto& result = report.result;
  std::vector<std::pair<std::string, std::string>> all_facts{
      {"perplexity", number(result.perplexity(), 4)},
      {"nats a token", number(result.nats_per_token(), 4)},
      {"bits a token", number(result.bits_per_token(), 4)},
      {formatted("bits a {}", report.tokens == TokenKind::kByte ? "byte" : "character"),
       number(report.bits_per_character(), 4)},
      {"tokens predicted", formatted("{}", result.tokens)},
      {"unknown", formatted("{}", report.unknown)}};
  if (result.unknown > 0) {
    all_facts.insert(all_facts.begin() + 1,
                     {"without the unknown", number(result.known_perplexity(), 4)});
  }
  std::string copied;
  if (report.copied) {
    copied = text_table(formatted("Longest span copied from {}", report.copied->source),
                        {"tokens", "text"},
                        {{formatted("{}", report.copied->span.length), report.copied->text}});
  }
  const auto all = result.tokens + 1;
  const auto shown = static_cast<int64_t>(tokens.size());
  return to_html(Page{
      .title = formatted("How well {} is predicted", report.text),
      .body =
          facts(all_facts) + section_of(provenance) +
          section("The text by surprise",
                  colour_key(Scale::kSurprise) +
                      coloured_text(shown < all ? formatted("The first {} of {} tokens", shown, all)
                                                : formatted("All {} tokens", all),
                                    tokens, Scale::kSurprise)) +
          section("Copied", copied) + inspection,
      .result = to_json(report)});
}

}  // namespace unroll
