#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <random>
#include <span>
#include <unordered_map>
#include <vector>

#include "unroll/generate.h"

namespace unroll {

/// Which tokens have followed each run of n - 1 tokens of a text that grows.
class NGrams {
 public:
  explicit NGrams(int64_t n) : n_(static_cast<std::size_t>(n)) {}

  /// The tokens that would complete an n-gram which `text` has already. `text` is that of the last
  /// call, or longer.
  std::span<const int64_t> completions(std::span<const int64_t> text);

 private:
  std::size_t n_;
  std::size_t read_ = 0;  // tokens of the text
  std::unordered_map<std::u32string, std::vector<int64_t>> followers_;
};

/// Takes the next token of one sequence. Its draws are the same on every machine: the generator and
/// its seeding are the standard's, and the rest is done here.
class Sampler {
 public:
  /// `sequence` chooses the draws, together with the seed.
  Sampler(const GenerateOptions& options, std::size_t sequence);

  /// logits (V) of what follows `text`, the tokens so far -> the token; nothing when none may be
  /// taken. Throws Error when the logits are not finite and a token is to be drawn.
  std::optional<int64_t> operator()(std::span<const float> logits, std::span<const int64_t> text);

 private:
  std::optional<int64_t> take(std::span<const float> logits);
  int64_t draw(std::span<const float> logits, float most);
  void keep_likeliest();

  double temperature_;
  std::size_t top_k_;
  double top_p_;
  bool take_unk_;
  std::optional<NGrams> ngrams_;
  std::mt19937_64 generator_;
  std::vector<double> weights_;     // of the tokens, proportional to their probability
  std::vector<std::size_t> order_;  // tokens by falling weight
  std::vector<float> allowed_;      // logits; -infinity for tokens that may not be taken
};

}  // namespace unroll
