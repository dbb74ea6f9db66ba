#include "unroll/vocab.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/cell_checks.h"
#include "support/thrown.h"
#include "unroll/corpus.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Pair;

const std::vector<std::vector<std::string>> kLines = {{"c", "b", "a"}, {}, {"b", "a", "d"}};

TEST(Vocab, OrdersByFrequencyThenByFirstAppearance) {
  const Vocab vocab(kLines);
  EXPECT_THAT(vocab.tokens(), ElementsAre("<unk>", "b", "a", "c", "d"));
  EXPECT_THAT(vocab.token_freqs(),
              ElementsAre(Pair("b", 2), Pair("a", 2), Pair("c", 1), Pair("d", 1)));
  EXPECT_EQ(vocab.size(), 5);
}

TEST(Vocab, IsExtendedByWhatItLacks) {
  const auto vocab = Vocab::from_tokens({"<unk>", "b", "a"}, TokenKind::kChar);
  const auto more = vocab.extended({"<unk>", "c", "a", "d"});
  EXPECT_THAT(more.tokens(), ElementsAre("<unk>", "b", "a", "c", "d"));
  EXPECT_EQ(more["c"], 3);
  EXPECT_EQ(more.kind(), TokenKind::kChar);
}

TEST(Vocab, LeavesOutRareTokens) {
  const Vocab vocab(kLines, 2);
  EXPECT_THAT(vocab.tokens(), ElementsAre("<unk>", "b", "a"));
  EXPECT_FALSE(vocab.contains("c"));
}

TEST(Vocab, HasNoMoreEntriesThanAskedFor) {
  const auto tokens = [](int64_t most) {
    return Vocab::from_counts({{"c", 1}, {"b", 2}, {"a", 2}}, 0, {"<pad>"}, TokenKind::kChar, most)
        .tokens();
  };
  EXPECT_THAT(tokens(4), ElementsAre("<unk>", "<pad>", "b", "a"));
  EXPECT_THAT(tokens(3), ElementsAre("<unk>", "<pad>", "b"));
  EXPECT_EQ(tokens(9), tokens(0));
}

TEST(Vocab, ReservedTokensComeFirstAndOnce) {
  const Vocab vocab(kLines, 0, {"<pad>", "a", "<pad>"});
  EXPECT_THAT(vocab.tokens(), ElementsAre("<unk>", "<pad>", "a", "b", "c", "d"));
}

TEST(Vocab, AnUnknownTokenIsIndexZero) {
  const Vocab vocab(kLines);
  EXPECT_EQ(vocab["z"], 0);
  EXPECT_EQ(vocab["<unk>"], 0);
  EXPECT_EQ(Vocab::unk(), 0);
  EXPECT_THAT(vocab[std::vector<std::string>({"d", "z", "b"})], ElementsAre(4, 0, 1));
  EXPECT_EQ(Vocab().size(), 1);
}

TEST(Vocab, LinesAndTokensMayStandInBraces) {
  const Vocab vocab({{"a", "b"}, {"a"}});
  EXPECT_EQ(vocab.tokens(), (std::vector<std::string>{"<unk>", "a", "b"}));
  EXPECT_EQ((vocab[{"b", "a"}]), (std::vector<int64_t>{2, 1}));
  EXPECT_EQ((vocab[{"b"}]), (std::vector<int64_t>{2}));
  EXPECT_EQ(Vocab({{"a", "b"}, {"a"}}, 2).size(), 2);
}

TEST(Vocab, IndicesAndTokensAreInverse) {
  const Vocab vocab(kLines);
  for (int64_t i = 0; i < vocab.size(); ++i) {
    EXPECT_EQ(vocab[vocab.to_token(i)], i);
  }
  EXPECT_THAT(thrown<Error>([&] { vocab.to_token(5); }), HasSubstr("5"));
  thrown<Error>([&] { vocab.to_token(-1); });
}

TEST(Vocab, FromTokensKeepsTheirOrder) {
  const auto vocab = Vocab::from_tokens({"<unk>", "x", "a"}, TokenKind::kByte);
  EXPECT_EQ(vocab["x"], 1);
  EXPECT_EQ(vocab["a"], 2);
  EXPECT_EQ(vocab.kind(), TokenKind::kByte);
  EXPECT_TRUE(vocab.token_freqs().empty());
}

TEST(Vocab, FromTokensRefusesDuplicatesAndAMissingUnknown) {
  const auto from = [](const std::vector<std::string>& tokens) {
    return thrown<Error>([&] { Vocab::from_tokens(tokens, TokenKind::kChar); });
  };
  EXPECT_THAT(from({"<unk>", "a", "b", "a"}), HasSubstr("'a' twice"));
  EXPECT_THAT(from({"<unk>", "<unk>"}), HasSubstr("<unk>"));
  EXPECT_THAT(from({"a", "b"}), HasSubstr("'a'"));
  from({});
}

TEST(Vocab, OfTheTimeMachineIsPythons) {
  const std::string text = std::string(UNROLL_DATA_DIR) + "/timemachine.txt";
  if (!std::filesystem::exists(text)) {
    GTEST_SKIP() << text << " is absent: scripts/fetch_time_machine";
  }
  const auto expected = golden("vocab.json");
  const auto lines = read_time_machine(text);
  EXPECT_EQ(lines.size(), expected.at("lines").get<std::size_t>());
  EXPECT_EQ(Vocab(tokenize(lines, TokenKind::kChar)).tokens(),
            expected.at("tokens").get<std::vector<std::string>>());

  const auto corpus = load_corpus_time_machine(text);
  EXPECT_EQ(corpus.size(), expected.at("corpus_length").get<int64_t>());
  EXPECT_EQ(corpus.vocab.tokens(), expected.at("tokens").get<std::vector<std::string>>());
  const auto first = expected.at("first_indices").get<std::vector<int64_t>>();
  EXPECT_TRUE(torch::equal(
      corpus.indices.narrow(0, 0, static_cast<int64_t>(first.size())).to(torch::kInt64),
      torch::tensor(first)));

  CorpusOptions words;
  words.text.tokens = TokenKind::kWord;
  words.max_tokens = 0;
  const auto by_word = read_corpus(text, words);
  EXPECT_EQ(by_word.size(), expected.at("word_corpus_length").get<int64_t>());
  EXPECT_EQ(by_word.vocab.size(), expected.at("word_vocab_size").get<int64_t>());
  EXPECT_EQ(by_word.indices.scalar_type(), torch::kInt32);
}

}  // namespace
}  // namespace unroll
