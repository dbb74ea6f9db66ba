#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace unroll {

/// A run of tokens that a sample and a source have in common.
struct CopiedSpan {
  int64_t length = 0;        ///< tokens; 0 when they have none in common
  int64_t sample_start = 0;  ///< position of its first token in the sample, where it stands first
  int64_t source_start = 0;  ///< position of its first token in the source, where it stands first
};

/// Finds the longest span of a sample that also stands in a source, which streams by: how much of a
/// generated text is copied from what the model was trained on.
///
/// A suffix automaton of the sample (Blumer et al. 1985,
/// https://doi.org/10.1016/0304-3975(85)90157-4) reads the source in time O(N log V) and in memory
/// for the sample alone. `<unk>` stands for many tokens, and therefore equals nothing.
///
///     CopiedSpanFinder finder(sample);
///     for (const auto& block : source) finder.feed(block);
///     finder.longest().length;
class CopiedSpanFinder {
 public:
  /// `sample`: token indices >= 0. Throws Error when it has 2^30 tokens or more.
  explicit CopiedSpanFinder(std::span<const int64_t> sample);
  ~CopiedSpanFinder();
  CopiedSpanFinder(const CopiedSpanFinder&) = delete;
  CopiedSpanFinder& operator=(const CopiedSpanFinder&) = delete;

  /// Reads the source's next tokens.
  void feed(std::span<const int64_t> source);

  /// The longest span so far; of several, the one that ends first in the source.
  const CopiedSpan& longest() const { return longest_; }

 private:
  class Automaton;

  std::unique_ptr<Automaton> automaton_;
  int32_t state_ = 0;     // that the source's last tokens lead to
  int64_t length_ = 0;    // of those tokens
  int64_t position_ = 0;  // in the source
  CopiedSpan longest_;
};

}  // namespace unroll
