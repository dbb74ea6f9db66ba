#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <initializer_list>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

#include "unroll/text.h"

#pragma GCC visibility push(default)
namespace unroll {

/// Hash of a token, so that a map with string keys finds a string_view without a copy.
struct TokenHash {
  using is_transparent = void;  ///< so that the map takes a string_view
  /// The hash.
  std::size_t operator()(std::string_view token) const {
    return std::hash<std::string_view>{}(token);
  }
};

/// Two-way map between tokens and indices in [0, size()), like the notebook's `Vocab`.
///
/// Index 0 is `<unk>`, then come the reserved tokens, then the tokens by falling frequency, ties
/// in order of first appearance.
class Vocab {
 public:
  using TokenCounts = std::vector<std::pair<std::string, int64_t>>;  ///< how often each occurs

  /// Only `<unk>`.
  Vocab();

  /// Counts the tokens of all lines; tokens seen fewer than `min_freq` times are left out.
  explicit Vocab(const std::vector<std::vector<std::string>>& lines, int64_t min_freq = 0,
                 const std::vector<std::string>& reserved = {}, TokenKind kind = TokenKind::kChar);

  /// The same for lines in braces: Vocab({{"a", "b"}, {"a"}}).
  explicit Vocab(std::initializer_list<std::vector<std::string>> lines, int64_t min_freq = 0,
                 const std::vector<std::string>& reserved = {}, TokenKind kind = TokenKind::kChar)
      : Vocab(std::vector<std::vector<std::string>>(lines), min_freq, reserved, kind) {}

  /// From tokens already counted, in order of first appearance. Keeps at most `most_entries`,
  /// `<unk>` and the reserved ones included: the most frequent ones. 0 keeps all.
  static Vocab from_counts(TokenCounts counts, int64_t min_freq = 0,
                           const std::vector<std::string>& reserved = {},
                           TokenKind kind = TokenKind::kChar, int64_t most_entries = 0);

  /// From all tokens in order of their indices, `<unk>` first: a vocabulary read from a file.
  /// Throws Error if a token occurs twice or the first is not `<unk>`.
  static Vocab from_tokens(const std::vector<std::string>& tokens, TokenKind kind);

  /// These entries, and after them those of `tokens` that are none of them, in their order.
  Vocab extended(const std::vector<std::string>& tokens) const;

  /// Entries, `<unk>` among them.
  int64_t size() const { return static_cast<int64_t>(idx_to_token_.size()); }

  /// Index of a token; 0 when it is unknown.
  int64_t operator[](std::string_view token) const;

  /// Indices of several tokens.
  std::vector<int64_t> operator[](const std::vector<std::string>& tokens) const;

  /// The same for tokens in braces: vocab[{"a", "b"}].
  std::vector<int64_t> operator[](std::initializer_list<std::string_view> tokens) const;

  /// Whether the token has an index of its own.
  bool contains(std::string_view token) const;

  /// Token of an index. Throws Error unless 0 <= index < size().
  const std::string& to_token(int64_t index) const;

  /// Index of `<unk>`.
  static constexpr int64_t unk() { return 0; }

  /// All tokens in order of their indices.
  const std::vector<std::string>& tokens() const { return idx_to_token_; }

  /// Tokens with their counts by falling frequency; empty for a vocabulary read from a file.
  const TokenCounts& token_freqs() const { return token_freqs_; }

  /// What one token is.
  TokenKind kind() const { return kind_; }

 private:
  void add(const std::string& token);

  TokenKind kind_ = TokenKind::kChar;
  std::vector<std::string> idx_to_token_;
  std::unordered_map<std::string, int64_t, TokenHash, std::equal_to<>> token_to_idx_;
  TokenCounts token_freqs_;
};

}  // namespace unroll
#pragma GCC visibility pop
