#include "unroll/corpus.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "temp_folder.h"
#include "thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

CorpusOptions options_of(TokenKind tokens, Normalize normalize, int64_t max_tokens = 0) {
  CorpusOptions options;
  options.text = {normalize, tokens};
  options.max_tokens = max_tokens;
  return options;
}

std::vector<int64_t> indices_of(const Corpus& corpus) {
  const auto wide = corpus.indices.to(torch::kInt64);
  return {wide.data_ptr<int64_t>(), wide.data_ptr<int64_t>() + wide.numel()};
}

// The notebook's way: all lines in memory, then all tokens, then the vocabulary, then indices.
void expect_as_the_notebook_reads(const std::filesystem::path& file, TokenKind kind) {
  const auto lines = tokenize(read_time_machine(file), kind);
  const Vocab vocab(lines, 0, {}, kind);
  std::vector<int64_t> indices;
  for (const auto& line : lines) {
    for (const auto& token : line) {
      indices.push_back(vocab[token]);
    }
  }
  const auto corpus = read_corpus(file, options_of(kind, Normalize::kLetters));
  EXPECT_EQ(corpus.vocab.tokens(), vocab.tokens());
  EXPECT_EQ(corpus.vocab.token_freqs(), vocab.token_freqs());
  EXPECT_EQ(indices_of(corpus), indices);
}

TEST(Corpus, EqualsTheNotebooksPathOnRandomTexts) {
  const TempFolder folder;
  const std::string alphabet = "abcXYZ  \n\r\t.,-\xc3\xa9";
  for (unsigned seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE(fmt::format("seed {}", seed));
    std::mt19937 random(seed);
    std::string text = "a";
    for (unsigned i = random() % 400; i > 0; --i) {
      text += alphabet[random() % alphabet.size()];
    }
    const auto file = folder.write("random.txt", text);
    expect_as_the_notebook_reads(file, TokenKind::kChar);
    expect_as_the_notebook_reads(file, TokenKind::kWord);
  }
}

TEST(Corpus, EqualsTheNotebooksPathOnLinesLongerThanABlock) {
  const TempFolder folder;
  std::string text;
  while (text.size() < 1300000) {
    text += fmt::format("some words {:c}{:c} ", 'a' + text.size() % 26, 'a' + text.size() % 7);
  }
  text[1200000] = '\n';
  expect_as_the_notebook_reads(folder.write("long.txt", text), TokenKind::kWord);
}

TEST(Corpus, CharactersMayStraddleBlocks) {
  const TempFolder folder;
  std::string text = "a";
  for (int i = 0; i < 600000; ++i) {
    text += "\xc3\xa9";
  }
  const auto corpus = read_corpus(folder.write("accents.txt", text),
                                  options_of(TokenKind::kChar, Normalize::kNone));
  EXPECT_THAT(corpus.vocab.tokens(), ElementsAre("<unk>", "\xc3\xa9", "a"));
  EXPECT_EQ(corpus.size(), 600001);
}

TEST(Corpus, NormalizeNoneKeepsEveryCharacter) {
  const auto corpus =
      make_corpus("B\r\nb\xc3\xa9\n", options_of(TokenKind::kChar, Normalize::kNone));
  EXPECT_THAT(corpus.vocab.tokens(), ElementsAre("<unk>", "\n", "B", "\r", "b", "\xc3\xa9"));
  EXPECT_THAT(indices_of(corpus), ElementsAre(2, 3, 1, 4, 5, 1));
}

TEST(Corpus, BytesAreBytes) {
  const TempFolder folder;
  const auto file = folder.write("bytes.bin", std::string("\xff\0\xff\n\x80", 5));
  const auto corpus = read_corpus(file, options_of(TokenKind::kByte, Normalize::kNone));
  EXPECT_THAT(indices_of(corpus), ElementsAre(1, 2, 1, 3, 4));
  EXPECT_EQ(corpus.vocab.to_token(2), std::string(1, '\0'));
}

TEST(Corpus, WordsKeepLineEndsAsTokens) {
  const auto corpus =
      make_corpus("to be\nor  not to\n", options_of(TokenKind::kWord, Normalize::kNone));
  EXPECT_THAT(corpus.vocab.tokens(), ElementsAre("<unk>", "to", "\n", "be", "or", "not"));
  EXPECT_THAT(indices_of(corpus), ElementsAre(1, 3, 2, 4, 5, 1, 2));
}

TEST(Corpus, IndicesTakeOneByteWhileTheyFit) {
  const auto corpus_of = [](int different, int64_t max_tokens) {
    std::string text;
    for (int i = 0; i < different; ++i) {
      text += fmt::format("w{} ", i);
    }
    return make_corpus(text + "w0", options_of(TokenKind::kWord, Normalize::kNone, max_tokens));
  };
  const auto narrow = corpus_of(255, 0);
  EXPECT_EQ(narrow.vocab.size(), 256);
  EXPECT_EQ(narrow.indices.scalar_type(), torch::kUInt8);
  EXPECT_EQ(indices_of(narrow).at(254), 255);
  const auto wide = corpus_of(256, 0);
  EXPECT_EQ(wide.indices.scalar_type(), torch::kInt32);
  EXPECT_EQ(indices_of(wide).at(255), 256);
  EXPECT_EQ(indices_of(wide).at(256), 1);
  // The dtype follows the vocabulary, also where the cut corpus holds few tokens.
  const auto cut = corpus_of(1000, 3);
  EXPECT_EQ(cut.indices.scalar_type(), torch::kInt32);
  EXPECT_THAT(indices_of(cut), ElementsAre(1, 2, 3));
}

TEST(Corpus, RareTokensMayShrinkTheIndicesToOneByte) {
  std::string text = "often often ";
  for (int i = 0; i < 400; ++i) {
    text += fmt::format("w{} ", i);
  }
  auto options = options_of(TokenKind::kWord, Normalize::kNone);
  options.min_freq = 2;
  const auto corpus = make_corpus(text, options);
  EXPECT_THAT(corpus.vocab.tokens(), ElementsAre("<unk>", "often"));
  EXPECT_EQ(corpus.indices.scalar_type(), torch::kUInt8);
  EXPECT_EQ(corpus.size(), 402);
  EXPECT_EQ(corpus.indices.to(torch::kInt64).sum().item<int64_t>(), 2);
}

TEST(Corpus, IsCutButTheVocabularyIsWhole) {
  const auto corpus = make_corpus("aab ccc", options_of(TokenKind::kChar, Normalize::kLetters, 4));
  EXPECT_THAT(corpus.vocab.tokens(), ElementsAre("<unk>", "c", "a", "b", " "));
  EXPECT_THAT(indices_of(corpus), ElementsAre(2, 2, 3, 4));
}

TEST(Corpus, NothingStandsBetweenLines) {
  const auto corpus = make_corpus("ab\n\n a");
  EXPECT_THAT(indices_of(corpus), ElementsAre(1, 2, 1));
}

TEST(Corpus, TextsThatCannotBeReadAreErrorsThatNameTheFile) {
  const TempFolder folder;
  const auto read = [](const std::filesystem::path& file, Normalize normalize) {
    return thrown<Error>([&] { read_corpus(file, options_of(TokenKind::kChar, normalize)); });
  };
  EXPECT_THAT(read(folder / "missing.txt", Normalize::kLetters), HasSubstr("missing.txt"));
  EXPECT_THAT(read(folder.path(), Normalize::kLetters), HasSubstr(folder.path().string()));
  EXPECT_THAT(read(folder.write("empty.txt", ""), Normalize::kLetters), HasSubstr("empty.txt"));
  EXPECT_THAT(read(folder.write("digits.txt", "1 2\n3"), Normalize::kLetters),
              AllOf(HasSubstr("digits.txt"), HasSubstr("no letter")));
  EXPECT_THAT(read(folder.write("nul.txt", std::string("a\0", 2)), Normalize::kNone),
              AllOf(HasSubstr("nul.txt"), HasSubstr("NUL")));
  EXPECT_THAT(read(folder.write("latin1.txt", "one\ncaf\xe9\n"), Normalize::kNone),
              AllOf(HasSubstr("latin1.txt"), HasSubstr("byte 7 ")));
}

}  // namespace
}  // namespace unroll
