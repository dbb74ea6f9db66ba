#pragma once

#include <nlohmann/json.hpp>
#include <string>

#include "unroll/text.h"
#include "unroll/vocab.h"

namespace unroll {

/// Adds to `json` how a text is read, and last, as `vocab`, the list of all tokens: bytes as
/// integers, which need not be characters, all others as texts.
void add_vocab(nlohmann::ordered_json& json, const Vocab& vocab, const TextOptions& text);

/// What add_vocab wrote. Throws Error, or Json's exceptions, where a key is missing or has another
/// kind of value, and for tokens that are not of the text's kind.
Vocab vocab_from(const nlohmann::json& json, TextOptions& text);

/// Throws Error unless each token can be one of its kind.
void check_tokens_of(const Vocab& vocab);

/// Throws Json's exceptions, and Error for text of more levels than a file of ours has: what walks
/// through JSON calls itself for each, so that a file could have it use up the stack.
nlohmann::json parse_shallow(const std::string& text);

}  // namespace unroll
