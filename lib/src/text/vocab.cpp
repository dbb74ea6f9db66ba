#include "unroll/vocab.h"

#include <algorithm>
#include <utility>

#include "base/formatted.h"
#include "unroll/error.h"

namespace unroll {
namespace {

constexpr const char* kUnknown = "<unk>";

}  // namespace

Vocab::Vocab() { add(kUnknown); }

Vocab::Vocab(const std::vector<std::vector<std::string>>& lines, int64_t min_freq,
             const std::vector<std::string>& reserved, TokenKind kind) {
  TokenCounts counts;
  std::unordered_map<std::string, std::size_t> position;
  for (const auto& line : lines) {
    for (const auto& token : line) {
      const auto [at, is_new] = position.try_emplace(token, counts.size());
      if (is_new) {
        counts.emplace_back(token, 0);
      }
      ++counts[at->second].second;
    }
  }
  *this = from_counts(std::move(counts), min_freq, reserved, kind);
}

Vocab Vocab::from_counts(TokenCounts counts, int64_t min_freq,
                         const std::vector<std::string>& reserved, TokenKind kind,
                         int64_t most_entries) {
  Vocab vocab;
  vocab.kind_ = kind;
  for (const auto& token : reserved) {
    vocab.add(token);
  }
  vocab.token_freqs_ = std::move(counts);
  std::stable_sort(vocab.token_freqs_.begin(), vocab.token_freqs_.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  for (const auto& [token, count] : vocab.token_freqs_) {
    if (count < min_freq || (most_entries > 0 && vocab.size() >= most_entries)) {
      break;
    }
    if (!vocab.contains(token)) {
      vocab.add(token);
    }
  }
  return vocab;
}

Vocab Vocab::from_tokens(const std::vector<std::string>& tokens, TokenKind kind) {
  if (tokens.empty() || tokens.front() != kUnknown) {
    throw Error(formatted("a vocabulary's first token must be {}, got '{}'", kUnknown,
                          tokens.empty() ? "" : tokens.front()));
  }
  Vocab vocab;
  vocab.kind_ = kind;
  for (std::size_t i = 1; i < tokens.size(); ++i) {
    if (vocab.contains(tokens[i])) {
      throw Error(formatted("a vocabulary's tokens must differ, got '{}' twice", tokens[i]));
    }
    vocab.add(tokens[i]);
  }
  return vocab;
}

Vocab Vocab::extended(const std::vector<std::string>& tokens) const {
  Vocab vocab = *this;
  for (const auto& token : tokens) {
    vocab.add(token);
  }
  return vocab;
}

void Vocab::add(const std::string& token) {
  if (token_to_idx_.try_emplace(token, size()).second) {
    idx_to_token_.push_back(token);
  }
}

int64_t Vocab::operator[](std::string_view token) const {
  const auto found = token_to_idx_.find(token);
  return found == token_to_idx_.end() ? unk() : found->second;
}

std::vector<int64_t> Vocab::operator[](const std::vector<std::string>& tokens) const {
  std::vector<int64_t> indices(tokens.size());
  std::transform(tokens.begin(), tokens.end(), indices.begin(),
                 [this](const std::string& token) { return (*this)[token]; });
  return indices;
}

std::vector<int64_t> Vocab::operator[](std::initializer_list<std::string_view> tokens) const {
  std::vector<int64_t> indices;
  for (const auto token : tokens) {
    indices.push_back((*this)[token]);
  }
  return indices;
}

bool Vocab::contains(std::string_view token) const {
  return token_to_idx_.find(token) != token_to_idx_.end();
}

const std::string& Vocab::to_token(int64_t index) const {
  if (index < 0 || index >= size()) {
    throw Error(formatted("token index must be in [0, {}), got {}", size(), index));
  }
  return idx_to_token_[static_cast<std::size_t>(index)];
}

}  // namespace unroll
