#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "unroll/evaluate.h"

namespace unroll {
namespace {

using Tokens = std::vector<int64_t>;

CopiedSpan find(const Tokens& sample, const Tokens& source) {
  CopiedSpanFinder finder(sample);
  finder.feed(source);
  return finder.longest();
}

// Tries every pair of ends; in the order of the documentation.
CopiedSpan find_by_brute_force(const Tokens& sample, const Tokens& source) {
  CopiedSpan longest;
  for (std::size_t j = 0; j < source.size(); ++j) {
    for (std::size_t i = 0; i < sample.size(); ++i) {
      std::size_t n = 0;
      while (n <= std::min(i, j) && sample[i - n] == source[j - n] && sample[i - n] != 0) {
        ++n;
      }
      if (static_cast<int64_t>(n) > longest.length) {
        longest = {.length = static_cast<int64_t>(n),
                   .sample_start = static_cast<int64_t>(i + 1 - n),
                   .source_start = static_cast<int64_t>(j + 1 - n)};
      }
    }
  }
  return longest;
}

void expect_equal(const CopiedSpan& span, const CopiedSpan& expected) {
  EXPECT_EQ(span.length, expected.length);
  EXPECT_EQ(span.sample_start, expected.sample_start);
  EXPECT_EQ(span.source_start, expected.source_start);
}

Tokens random_tokens(std::mt19937& generator, int64_t most_tokens, int64_t vocab_size) {
  Tokens tokens(std::uniform_int_distribution<std::size_t>(0, most_tokens)(generator));
  std::uniform_int_distribution<int64_t> token(0, vocab_size - 1);
  std::generate(tokens.begin(), tokens.end(), [&] { return token(generator); });
  return tokens;
}

TEST(CopiedSpan, EqualsBruteForceOnRandomTexts) {
  std::mt19937 generator(1);
  for (int round = 0; round < 2000; ++round) {
    const int64_t vocab_size = 2 + round % 5;
    const auto sample = random_tokens(generator, 30, vocab_size);
    const auto source = random_tokens(generator, 80, vocab_size);
    SCOPED_TRACE(round);
    expect_equal(find(sample, source), find_by_brute_force(sample, source));
  }
}

TEST(CopiedSpan, TheSourceMayComeInPieces) {
  std::mt19937 generator(2);
  const auto sample = random_tokens(generator, 200, 3);
  const auto source = random_tokens(generator, 1000, 3);
  for (const std::size_t piece : {1, 7, 999}) {
    CopiedSpanFinder finder(sample);
    const std::span<const int64_t> rest(source);
    for (std::size_t at = 0; at < rest.size(); at += piece) {
      finder.feed(rest.subspan(at, std::min(piece, rest.size() - at)));
    }
    expect_equal(finder.longest(), find(sample, source));
  }
}

TEST(CopiedSpan, AWholeSampleInTheMiddleOfTheSource) {
  expect_equal(find({5, 6, 7}, {1, 5, 6, 1, 5, 6, 7, 2}),
               {.length = 3, .sample_start = 0, .source_start = 4});
}

TEST(CopiedSpan, NothingInCommon) {
  EXPECT_EQ(find({1, 2}, {3, 4}).length, 0);
  EXPECT_EQ(find({}, {3, 4}).length, 0);
  EXPECT_EQ(find({1, 2}, {}).length, 0);
}

TEST(CopiedSpan, UnknownTokensEqualNothing) {
  expect_equal(find({1, 0, 2, 3}, {1, 0, 2, 3}),
               {.length = 2, .sample_start = 2, .source_start = 2});
}

TEST(CopiedSpan, ALongRepetitionIsFoundInFull) {
  const Tokens sample(100'000, 1);
  const Tokens source(300'000, 1);
  expect_equal(find(sample, source), {.length = 100'000, .sample_start = 0, .source_start = 0});
}

}  // namespace
}  // namespace unroll
