#include "checkpoint/vocab_json.h"

#include <cstddef>
#include <cstdint>
#include <vector>

#include "base/formatted.h"
#include "checkpoint/options_json.h"
#include "text/token_cutter.h"
#include "unroll/error.h"

namespace unroll {
namespace {

constexpr int kMostLevels = 8;  // a config has four

// Throws Error unless a string can be a token of this kind.
void check_token(const std::string& token, TokenKind kind) {
  if (kind == TokenKind::kByte) {
    throw Error(formatted("a byte must be an integer, got '{}'", token));
  }
  if (token.empty()) {
    throw Error("a token must not be empty");
  }
  if (!is_token(token, kind)) {
    throw Error(formatted("a token by char must be one code point, got '{}'", token));
  }
}

std::vector<std::string> tokens_from_json(const nlohmann::json& tokens, TokenKind kind) {
  std::vector<std::string> result;
  result.reserve(tokens.size());
  for (const auto& token : tokens) {
    if (token.is_number() && kind == TokenKind::kByte) {
      if (!token.is_number_unsigned() || token.get<uint64_t>() > 255) {
        throw Error(formatted("a byte must be in [0, 255], got {}", token.dump()));
      }
      result.emplace_back(1, static_cast<char>(token.get<uint64_t>()));
    } else {
      result.push_back(token.get<std::string>());
      if (result.size() > 1) {  // the first is <unk>
        check_token(result.back(), kind);
      }
    }
  }
  return result;
}

}  // namespace

void add_vocab(nlohmann::ordered_json& json, const Vocab& vocab, const TextOptions& text) {
  json.update(to_json(text));
  auto tokens = nlohmann::ordered_json::array();
  for (const auto& token : vocab.tokens()) {
    if (vocab.kind() == TokenKind::kByte && token.size() == 1) {
      tokens.push_back(static_cast<unsigned char>(token[0]));
    } else {
      tokens.push_back(token);
    }
  }
  json["vocab"] = std::move(tokens);
}

Vocab vocab_from(const nlohmann::json& json, TextOptions& text) {
  require_fields<TextOptions>(json, {"tokens", "normalize"});
  if (const auto vocab = json.find("vocab"); vocab == json.end() || !vocab->is_array()) {
    throw Error(formatted("'vocab' {}, expected the list of all tokens, <unk> first",
                          vocab == json.end() ? "is missing" : "is no list"));
  }
  read_json(json, text);
  return Vocab::from_tokens(tokens_from_json(json.at("vocab"), text.tokens), text.tokens);
}

void check_tokens_of(const Vocab& vocab) {
  for (std::size_t i = 1; i < vocab.tokens().size(); ++i) {  // the first is <unk>
    const auto& token = vocab.tokens()[i];
    if (vocab.kind() != TokenKind::kByte || token.size() != 1) {
      check_token(token, vocab.kind());
    }
  }
}

nlohmann::json parse_shallow(const std::string& text) {
  return nlohmann::json::parse(
      text, [](int level, nlohmann::json::parse_event_t /*event*/, nlohmann::json& /*value*/) {
        if (level > kMostLevels) {
          throw Error(formatted("its JSON has more than {} levels", kMostLevels));
        }
        return true;
      });
}

}  // namespace unroll
