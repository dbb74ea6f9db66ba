#pragma once

#include <torch/types.h>

#include <string>
#include <string_view>
#include <vector>

#include "unroll/text.h"
#include "unroll/vocab.h"

namespace unroll {

/// A text as it is: its tokens, and the vocabulary of them.
struct TextTokens {
  TextTokens(std::string_view text, TokenKind kind) {
    std::vector<std::string> tokens;
    tokenize_line(text, kind, [&](std::string_view token) { tokens.emplace_back(token); });
    vocab = Vocab({tokens}, 0, {}, kind);
    indices = torch::tensor(vocab[tokens]);
  }

  Vocab vocab;
  torch::Tensor indices;  // (N) int64
};

}  // namespace unroll
