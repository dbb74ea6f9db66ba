#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "unroll/corpus.h"

namespace unroll::app {

/// A text as the model reads it, token by token.
class Tokens {
 public:
  explicit Tokens(const Corpus& corpus) : corpus_(corpus), vocab_(corpus.vocab) {}

  int64_t size() const { return corpus_.size(); }
  int64_t index(int64_t i) const {
    const auto& indices = corpus_.indices;
    return indices.scalar_type() == torch::kUInt8 ? indices.const_data_ptr<uint8_t>()[i]
                                                  : indices.const_data_ptr<int32_t>()[i];
  }
  const std::string& text(int64_t i) const { return vocab_.to_token(index(i)); }

  /// What stands between token i and the one before it.
  std::string_view gap(int64_t i) const {
    return i > 0 ? gap_between(text(i - 1), text(i), vocab_.kind()) : "";
  }

  std::string span(int64_t start, int64_t length) const {
    std::string joined;
    for (int64_t i = start; i < start + length; ++i) {
      joined += i == start ? "" : gap(i);
      joined += text(i);
    }
    return joined;
  }

 private:
  const Corpus& corpus_;
  const Vocab& vocab_;
};

}  // namespace unroll::app
