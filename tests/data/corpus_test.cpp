#include "unroll/corpus.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <memory>
#include <random>
#include <tuple>

#include "base/formatted.h"
#include "support/temp_folder.h"
#include "support/thrown.h"
#include "text/fingerprint.h"
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
  const std::vector<std::string> alphabet{"a", "b",  "c",  "X",  "Y", "Z", " ",
                                          " ", "\n", "\r", "\t", ".", ",", "-\xc3\xa9"};
  for (unsigned seed = 0; seed < 30; ++seed) {
    SCOPED_TRACE(formatted("seed {}", seed));
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
    text += formatted("some words {:c}{:c} ", 'a' + text.size() % 26, 'a' + text.size() % 7);
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
      make_corpus("B\r\nb\re\xcc\x81\n", options_of(TokenKind::kChar, Normalize::kNone));
  EXPECT_THAT(corpus.vocab.tokens(), ElementsAre("<unk>", "\n", "B", "b", "\xc3\xa9"));
  EXPECT_THAT(indices_of(corpus), ElementsAre(2, 1, 3, 1, 4, 1));
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
      text += formatted("w{} ", i);
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
    text += formatted("w{} ", i);
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

// Characters of many kinds and frequencies, in UTF-8.
std::string random_text(std::mt19937& random, int64_t size, int different) {
  std::string text;
  std::geometric_distribution<int> draw(std::min(0.5, 10.0 / different));
  for (int64_t i = 0; i < size; ++i) {
    const int c = std::min(draw(random), different - 1) * (random() % 2 == 0 ? 1 : 7) + 0x4E00;
    text += {static_cast<char>(0xE0 | c >> 12), static_cast<char>(0x80 | (c >> 6 & 0x3F)),
             static_cast<char>(0x80 | (c & 0x3F))};
    if (random() % 4 == 0) {
      text += static_cast<char>('a' + random() % 26);
    }
  }
  return text;
}

// However indices are kept while a text is read, they are the vocabulary's.
TEST(Corpus, IndicesAreThoseOfTheVocabularyHoweverManyTokensThereAre) {
  const TempFolder folder;
  for (unsigned seed = 0; seed < 40; ++seed) {
    std::mt19937 random(seed);
    const int different = std::array{5, 200, 300, 3000}[seed % 4];
    auto options = options_of(TokenKind::kChar, Normalize::kNone);
    options.vocab_size = std::array<int64_t, 3>{0, 20, 256}[random() % 3];
    const auto most = std::array<std::size_t, 3>{0, 1, 700}[random() % 3];
    options.max_tokens = static_cast<int64_t>(most);
    SCOPED_TRACE(formatted("seed {}: {} characters, vocabulary {}, cut at {}", seed, different,
                           options.vocab_size, most));
    const auto text = random_text(random, 1 + static_cast<int64_t>(random() % 3000), different);
    const auto corpus = make_corpus(text, options);
    // A file that is read twice, and another text's vocabulary, give the same.
    const auto read = read_corpus(folder.write("random.txt", text), options);
    EXPECT_TRUE(torch::equal(read.indices, corpus.indices));
    EXPECT_EQ(read.vocab.tokens(), corpus.vocab.tokens());
    EXPECT_EQ(read.vocab.token_freqs(), corpus.vocab.token_freqs());
    EXPECT_EQ(std::tuple(read.unknown, read.characters, read.fingerprint.hash),
              std::tuple(corpus.unknown, corpus.characters, corpus.fingerprint.hash));
    auto given = options;
    given.vocab = std::make_shared<const Vocab>(corpus.vocab);
    const auto indexed = make_corpus(text, given);
    EXPECT_TRUE(torch::equal(indexed.indices, corpus.indices));
    EXPECT_EQ(std::tuple(indexed.unknown, indexed.characters),
              std::tuple(corpus.unknown, corpus.characters));

    const auto tokens = tokenize({text}, TokenKind::kChar);
    auto expected = corpus.vocab[tokens[0]];
    if (most > 0) {
      expected.resize(std::min(expected.size(), most));
    }
    EXPECT_EQ(indices_of(corpus), expected);
    EXPECT_EQ(corpus.indices.scalar_type(),
              corpus.vocab.size() > 256 ? torch::kInt32 : torch::kUInt8);
    EXPECT_EQ(corpus.vocab.token_freqs(), Vocab(tokens).token_freqs());
    EXPECT_EQ(corpus.unknown, std::count(expected.begin(), expected.end(), 0));
    EXPECT_EQ(corpus.characters, corpus.size());
    EXPECT_EQ(corpus.text_tokens, static_cast<int64_t>(tokens[0].size()));
    EXPECT_EQ(indexed.text_tokens, corpus.text_tokens);
    EXPECT_EQ(read.text_tokens, corpus.text_tokens);
  }
}

TEST(Corpus, IsAllOfATextUnlessItIsToBeCut) {
  const std::string text(20'000, 'a');
  EXPECT_EQ(make_corpus(text).size(), 20'000);
  EXPECT_EQ(make_corpus(text, {.max_tokens = 0}).size(), 20'000);
  const auto cut = make_corpus(text, {.max_tokens = 7});
  EXPECT_EQ(cut.size(), 7);
  EXPECT_EQ(cut.text_tokens, 20'000);
}

TEST(Corpus, TheNotebooksCutIsThatOfTheNotebooksText) {
  EXPECT_EQ(notebook_max_tokens({}), 10'000);
  const TempFolder folder;
  // As long as The Time Machine, and another text.
  const auto other = folder.write("other.txt", std::string(178'979, 'a'));
  EXPECT_EQ(notebook_max_tokens({other}), 0);
  EXPECT_EQ(notebook_max_tokens({folder / "missing"}), 0);
  EXPECT_EQ(notebook_max_tokens({std::filesystem::path("-")}), 0);
  const std::filesystem::path time_machine = UNROLL_DATA_DIR "/timemachine.txt";
  if (!std::filesystem::exists(time_machine)) {
    GTEST_SKIP() << time_machine << " is absent: scripts/fetch_time_machine";
  }
  EXPECT_EQ(notebook_max_tokens({time_machine}), 10'000);
  EXPECT_EQ(notebook_max_tokens({time_machine, other}), 0);
}

TEST(Corpus, ByAnotherVocabularyIsAsIfReadByIt) {
  const auto own = make_corpus("abbbcc a", {.min_freq = 2});
  for (const auto& vocab : {make_corpus("dcbbb").vocab, own.vocab,
                            make_corpus("xyz").vocab.extended(own.vocab.tokens())}) {
    CorpusOptions options;
    options.vocab = std::make_shared<const Vocab>(vocab);
    const auto expected = make_corpus("abbbcc a", options);
    const auto moved = with_vocab(own, vocab);
    // What the first reading left out as rare is lost.
    const auto known = own.indices.ne(Vocab::unk());
    EXPECT_TRUE(
        torch::equal(moved.indices.masked_select(known), expected.indices.masked_select(known)));
    EXPECT_EQ(moved.indices.masked_select(known.logical_not()).count_nonzero().item<int64_t>(), 0);
    EXPECT_EQ(moved.unknown, count_unknown(moved.indices));
    EXPECT_EQ(moved.vocab.tokens(), vocab.tokens());
    EXPECT_EQ(std::tuple(moved.characters, moved.text_tokens, moved.fingerprint.hash),
              std::tuple(expected.characters, expected.text_tokens, expected.fingerprint.hash));
  }
  std::vector<std::string> many(300, "");
  for (std::size_t i = 0; i < many.size(); ++i) {
    many[i] = std::string("\xe4\xb8") + static_cast<char>(0x80 + i % 64) + std::to_string(i);
  }
  const auto wide = with_vocab(own, Vocab().extended(many).extended(own.vocab.tokens()));
  EXPECT_EQ(wide.indices.scalar_type(), torch::kInt32);
  EXPECT_EQ(wide.vocab.to_token(wide.indices[1].item<int64_t>()), "b");
  thrown<UsageError>([&] { with_vocab(own, Vocab({}, 0, {}, TokenKind::kWord)); });
}

TEST(Corpus, TheIndicesOfALineAreThoseOfACorpusOfIt) {
  const auto vocab = make_corpus("the time traveller").vocab;
  for (const char* line : {"The -- TIME, x", "a", "t"}) {
    CorpusOptions options;
    options.vocab = std::make_shared<const Vocab>(vocab);
    EXPECT_EQ(token_indices(line, {}, vocab), indices_of(make_corpus(line, options)));
  }
  EXPECT_TRUE(token_indices("7 8", {}, vocab).empty());
  thrown<UsageError>([&] { token_indices("a", {.tokens = TokenKind::kWord}, vocab); });
}

TEST(Corpus, AVocabularyOfSoManyEntriesKeepsTheMostFrequent) {
  auto options = options_of(TokenKind::kChar, Normalize::kLetters);
  options.vocab_size = 3;
  const auto corpus = make_corpus("abbbcc", options);
  EXPECT_THAT(corpus.vocab.tokens(), ElementsAre("<unk>", "b", "c"));
  EXPECT_THAT(indices_of(corpus), ElementsAre(0, 1, 1, 1, 2, 2));
  EXPECT_EQ(corpus.unknown, 1);
}

TEST(Corpus, AnotherTextsVocabularyNamesTheTokens) {
  const auto training = make_corpus("abbbcc");
  CorpusOptions options;
  options.vocab = std::make_shared<const Vocab>(training.vocab);
  const auto corpus = make_corpus("dcba d", options);
  EXPECT_EQ(corpus.vocab.tokens(), training.vocab.tokens());
  EXPECT_THAT(indices_of(corpus), ElementsAre(0, 2, 1, 3, 0, 0));
  EXPECT_EQ(corpus.unknown, 3);
  EXPECT_EQ(corpus.characters, 6);
  options.text.tokens = TokenKind::kWord;
  EXPECT_THAT(thrown<UsageError>([&] { make_corpus("a", options); }),
              AllOf(HasSubstr("char"), HasSubstr("word")));
}

TEST(Corpus, CharactersAreThoseOfTheTokensThatAreKept) {
  const auto characters = [](std::string_view text, TokenKind kind, int64_t max_tokens = 0) {
    return make_corpus(text, options_of(kind, Normalize::kNone, max_tokens)).characters;
  };
  EXPECT_EQ(characters("\xc3\xa9t\xc3\xa9 \xf0\x9f\x98\x80", TokenKind::kChar), 5);
  EXPECT_EQ(characters("\xc3\xa9t\xc3\xa9 \xf0\x9f\x98\x80", TokenKind::kByte), 5);
  EXPECT_EQ(characters("\xc3\xa9t\xc3\xa9  \xf0\x9f\x98\x80\n", TokenKind::kWord), 3 + 1 + 1 + 1);
  EXPECT_EQ(characters("one three five", TokenKind::kWord, 2), 3 + 1 + 5);
  EXPECT_EQ(characters("one\n\ntwo\n", TokenKind::kWord), 3 + 2 + 3 + 1);
  EXPECT_EQ(characters("abcd", TokenKind::kChar, 3), 3);
}

TEST(Corpus, TheFirstTokensCharactersAreKnownThoughTheTokenIsNot) {
  auto options = options_of(TokenKind::kWord, Normalize::kNone);
  EXPECT_EQ(make_corpus("\xc3\xa9t\xc3\xa9 on", options).first_characters, 3);
  options.vocab = std::make_shared<const Vocab>(make_corpus("one two", options).vocab);
  EXPECT_EQ(make_corpus("seven one", options).first_characters, 5);
  EXPECT_EQ(make_corpus("two seven", options).first_characters, 3);
  options.text.tokens = TokenKind::kChar;
  options.vocab = std::make_shared<const Vocab>(
      make_corpus("abc", options_of(TokenKind::kChar, Normalize::kNone)).vocab);
  EXPECT_EQ(make_corpus("abc", options).first_characters, 1);
  EXPECT_EQ(make_corpus("xbc", options).first_characters, 1);
}

TEST(Corpus, FilesAreOneTextAndOneFingerprint) {
  const TempFolder folder;
  const std::vector paths{folder.write("one", "The time\nma"), folder.write("two", "chine, by")};
  int64_t reports = 0;
  const auto corpus = read_corpus(paths, options_of(TokenKind::kWord, Normalize::kLetters),
                                  [&](const ReadProgress& progress) {
                                    ++reports;
                                    EXPECT_EQ(progress.total_bytes, 20);
                                  });
  EXPECT_THAT(corpus.vocab.tokens(), ElementsAre("<unk>", "the", "time", "machine", "by"));
  EXPECT_EQ(corpus.fingerprint, fingerprint_of_files(paths));
  EXPECT_EQ(reports, 2);
}

TEST(Corpus, ErrorsNameTheFileAmongSeveral) {
  const TempFolder folder;
  using Paths = std::vector<std::filesystem::path>;
  const auto characters = options_of(TokenKind::kChar, Normalize::kNone);
  const auto invalid = [&](const Paths& paths) {
    return thrown<InvalidUtf8Error>([&] { read_corpus(paths, characters); });
  };
  const auto good = folder.write("good", "caf\xc3\xa9\n");
  const auto bad = folder.write("bad", "one\ncaf\xe9\n");
  const auto cut = folder.write("cut", "caf\xc3");
  EXPECT_THAT(invalid({good, bad, good}),
              AllOf(HasSubstr("bad: byte 7 "), ::testing::Not(HasSubstr("good"))));
  EXPECT_THAT(invalid({good, cut, good}), HasSubstr("cut: byte 3 "));
  EXPECT_THAT(invalid({good, cut}), HasSubstr("cut: byte 3 "));
  EXPECT_THAT(thrown<Error>([&] {
                read_corpus(Paths{good, folder / "missing"}, characters);
              }),
              HasSubstr("missing"));
  const auto digits = folder.write("digits", "12");
  EXPECT_THAT(thrown<Error>([&] { read_corpus(Paths{digits, digits}); }), HasSubstr("digits, "));
}

TEST(Corpus, OptionsOutOfRangeAreWrongUsage) {
  EXPECT_THAT(thrown<UsageError>([] { check(CorpusOptions{.min_freq = -1}); }),
              AllOf(HasSubstr("min-freq"), HasSubstr("got -1")));
  EXPECT_THAT(thrown<UsageError>([] { check(CorpusOptions{.vocab_size = -2}); }),
              AllOf(HasSubstr("vocab-size"), HasSubstr("got -2")));
  EXPECT_THAT(thrown<UsageError>([] { check(CorpusOptions{.vocab_size = 1}); }),
              HasSubstr("got 1"));
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
  const auto latin1 = folder.write("latin1.txt", "one\ncaf\xe9\n");
  for (const auto normalize : {Normalize::kLetters, Normalize::kNone}) {
    EXPECT_THAT(thrown<InvalidUtf8Error>(
                    [&] { read_corpus(latin1, options_of(TokenKind::kChar, normalize)); }),
                AllOf(HasSubstr("latin1.txt"), HasSubstr("byte 7 ")));
  }
}

}  // namespace
}  // namespace unroll
