#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <memory>

#include "base/formatted.h"
#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/corpus.h"
#include "unroll/error.h"
#include "unroll/tensors.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

void expect_equal(const Corpus& a, const Corpus& b) {
  EXPECT_EQ(a.indices.scalar_type(), b.indices.scalar_type());
  EXPECT_TRUE(torch::equal(a.indices, b.indices));
  EXPECT_EQ(a.vocab.tokens(), b.vocab.tokens());
  EXPECT_EQ(a.vocab.token_freqs(), b.vocab.token_freqs());
  EXPECT_EQ(a.vocab.kind(), b.vocab.kind());
  EXPECT_EQ(a.text, b.text);
  EXPECT_EQ(a.fingerprint, b.fingerprint);
  EXPECT_EQ(a.unknown, b.unknown);
  EXPECT_EQ(a.characters, b.characters);
  EXPECT_EQ(a.first_characters, b.first_characters);
}

// Options of each kind, and texts that differ by them.
std::vector<CorpusOptions> different_options() {
  std::vector<CorpusOptions> all(9);
  all[1].text.tokens = TokenKind::kWord;
  all[2].text.tokens = TokenKind::kByte;
  all[3].text.normalize = Normalize::kNone;
  all[4].text = {.normalize = Normalize::kNone, .invalid_utf8 = InvalidUtf8::kReplace};
  all[5].max_tokens = 5;
  all[6].min_freq = 2;
  all[7].vocab_size = 4;
  all[8].vocab = std::make_shared<const Vocab>(make_corpus("a cat").vocab);
  return all;
}

TEST(CorpusIndex, ACorpusComesBackWithTheOptionsItWasReadWithAlone) {
  const TempFolder folder;
  const auto file = folder / "index";
  const auto all = different_options();
  for (std::size_t i = 0; i < all.size(); ++i) {
    SCOPED_TRACE(i);
    const auto corpus = make_corpus("The cat sat on a \xc3\xa9 mat,\n9 lives.\n", all[i]);
    save_corpus_index(file, corpus, all[i]);
    for (std::size_t j = 0; j < all.size(); ++j) {
      const auto kept = load_corpus_index(file, all[j]);
      ASSERT_EQ(kept.has_value(), i == j) << "read with options " << j;
      if (kept) {
        expect_equal(*kept, corpus);
      }
    }
  }
  auto other_vocab = all[8];
  other_vocab.vocab = std::make_shared<const Vocab>(make_corpus("a dog").vocab);
  EXPECT_FALSE(load_corpus_index(file, other_vocab));
}

TEST(CorpusIndex, LargeVocabulariesTakeWideIndices) {
  const TempFolder folder;
  std::string text;
  for (int i = 0; i < 1000; ++i) {
    text += formatted("w{} ", i);
  }
  CorpusOptions options;
  options.text = {.normalize = Normalize::kNone, .tokens = TokenKind::kWord};
  const auto corpus = make_corpus(text, options);
  save_corpus_index(folder / "index", corpus, options);
  expect_equal(*load_corpus_index(folder / "index", options), corpus);
}

TEST(CorpusIndex, IsTakenForTheSameTextAndMadeAnewForAnother) {
  const TempFolder folder;
  const auto index = index_beside(folder / "text.txt");
  EXPECT_EQ(index.filename(), "text.txt.unroll-index");
  const std::vector paths{folder.write("text.txt", "the time machine"),
                          folder.write("more.txt", " and more")};
  const auto read = [&](const CorpusOptions& options = {}) {
    return read_kept_corpus(paths, index, options);
  };
  expect_equal(read(), read_corpus(paths));
  ASSERT_TRUE(std::filesystem::exists(index));

  // Taken: a corpus that only the file can have.
  auto kept = *load_corpus_index(index, {});
  kept.indices.zero_();
  save_corpus_index(index, kept, {});
  expect_equal(read(), kept);

  // As long as before, and in another file than the first.
  folder.write("more.txt", " and less");
  expect_equal(read(), read_corpus(paths));
  expect_equal(*load_corpus_index(index, {}), read_corpus(paths));

  CorpusOptions words;
  words.text.tokens = TokenKind::kWord;
  expect_equal(read(words), read_corpus(paths, words));
  EXPECT_TRUE(load_corpus_index(index, words));
  EXPECT_FALSE(load_corpus_index(index, {}));
}

TEST(CorpusIndex, OfTwoFilesIsNoneOfTheSameBytesInOne) {
  const TempFolder folder;
  const auto index = folder / "index";
  const CorpusOptions options{.text = {.normalize = Normalize::kNone}, .max_tokens = 0};
  const std::string one = "abcd\n";
  const std::string two =
      "\xef\xbb\xbf"
      "efgh\n";
  const std::vector both{folder.write("one", one), folder.write("two", two)};
  const auto joined = folder.write("joined", one + two);
  EXPECT_EQ(read_kept_corpus(both, index, options).size(), 10);
  EXPECT_EQ(read_kept_corpus({joined}, index, options).size(), 11);  // the mark within is kept
  EXPECT_EQ(read_kept_corpus(both, index, options).size(), 10);
}

TEST(CorpusIndex, DamagedAndForeignFilesAreErrorsAndStay) {
  const TempFolder folder;
  const auto text = folder.write("text.txt", "the time machine");
  const auto index = folder / "index";
  const auto whole = read_kept_corpus({text}, index);
  const auto bytes = content_of(index);
  const auto expect_refused = [&](const std::string& content, const std::string& what) {
    folder.write("index", content);
    EXPECT_THAT(thrown<Error>([&] { read_kept_corpus({text}, index); }),
                AllOf(HasSubstr(index.string()), HasSubstr(what)));
    EXPECT_EQ(content_of(index), content);
  };
  expect_refused("my diary", "safetensors");
  expect_refused("", "safetensors");
  expect_refused(bytes.substr(0, bytes.size() - 1), "safetensors");
  save_safetensors(index,
                   {.tensors = {{"W", torch::zeros(3)}}, .metadata = {{"format", "unroll"}}});
  expect_refused(content_of(index), "its format is 'unroll'");

  // Each part by itself.
  folder.write("index", bytes);
  const auto content = load_safetensors(index);
  const auto expect_damaged = [&](const auto& damage, const std::string& what) {
    auto damaged = content;
    damage(damaged);
    save_safetensors(index, damaged);
    expect_refused(content_of(index), what);
  };
  for (std::size_t i = 0; i < content.tensors.size(); ++i) {
    expect_damaged([&](SafeTensors& part) { part.tensors.erase(part.tensors.begin() + i); },
                   content.tensors[i].name);
  }
  expect_damaged([](SafeTensors& part) { part.metadata["characters"] = "x"; }, "'x'");
  expect_damaged([](SafeTensors& part) { part.metadata["characters"] = "7"; }, "not what was");
  expect_damaged(
      [](SafeTensors& part) {
        for (auto& [name, tensor] : part.tensors) {
          tensor = name == "indices" ? tensor + 1 : tensor;
        }
      },
      "not what was written");
  expect_damaged(
      [](SafeTensors& part) {
        for (auto& [name, tensor] : part.tensors) {
          tensor = name == "tokens" ? tensor + 1 : tensor;
        }
      },
      "not what was written");
  expect_damaged(
      [](SafeTensors& part) {
        for (auto& [name, tensor] : part.tensors) {
          tensor = name == "token_ends" ? tensor + 1 : tensor;
        }
      },
      "end outside");
}

// Its hash is what was written, but that was never a text.
TEST(CorpusIndex, IsRefusedWhereItIsWholeButOfNoText) {
  const TempFolder folder;
  const auto expect_refused = [&](const CorpusOptions& options, const auto& change,
                                  const std::string& what) {
    auto corpus = make_corpus("the time machine", options);
    change(corpus);
    save_corpus_index(folder / "index", corpus, options);
    EXPECT_THAT(thrown<Error>([&] { load_corpus_index(folder / "index", options); }),
                AllOf(HasSubstr("index"), HasSubstr(what)));
  };
  expect_refused(
      {}, [](Corpus& corpus) { corpus.indices += 200; }, "tokens");
  expect_refused(
      {}, [](Corpus& corpus) { corpus.indices = corpus.indices.slice(0, 0, 0); }, "no ");
  const auto with_token = [](const std::string& token, TokenKind kind) {
    return [token, kind](Corpus& corpus) {
      auto counts = corpus.vocab.token_freqs();
      counts.back().first = token;
      corpus.vocab = Vocab::from_counts(counts, 0, {}, kind);
    };
  };
  expect_refused({}, with_token("\xF7\xBF\xBF\xBF", TokenKind::kChar), "by char");
  expect_refused({}, with_token("ab", TokenKind::kChar), "by char");
  expect_refused({}, with_token("", TokenKind::kChar), "by char");
  const CorpusOptions words{.text = {.tokens = TokenKind::kWord}};
  expect_refused(words, with_token("\xC3", TokenKind::kWord), "by word");
  const CorpusOptions bytes{.text = {.tokens = TokenKind::kByte}};
  expect_refused(bytes, with_token("\xC3\xA9", TokenKind::kByte), "by byte");
  std::string numbers;
  for (int i = 0; i < 300; ++i) {
    numbers += formatted("{} ", std::string(i + 1, 'a'));
  }
  auto corpus = make_corpus(numbers, words);
  corpus.indices -= 2;
  save_corpus_index(folder / "index", corpus, words);
  EXPECT_THAT(thrown<Error>([&] { load_corpus_index(folder / "index", words); }),
              HasSubstr("from -1"));
}

TEST(CorpusIndex, IsTriedBeforeTheTextIsRead) {
  const TempFolder folder;
  EXPECT_THAT(
      thrown<Error>([&] { read_kept_corpus({folder / "missing.txt"}, folder / "no" / "index"); }),
      HasSubstr("index"));
  EXPECT_THAT(thrown<Error>([&] { read_kept_corpus({folder / "missing.txt"}, folder / "index"); }),
              HasSubstr("missing.txt"));
  EXPECT_EQ(folder.size(), 0);
}

TEST(CorpusIndex, IsTakenWhereNothingCanBeWritten) {
  const TempFolder folder;
  const std::vector paths{folder.write("text.txt", "the time machine")};
  const auto index = folder / "index";
  const auto corpus = read_kept_corpus(paths, index);
  // What a writer would put beside it is in the way: so even root cannot write there.
  std::filesystem::create_directory(formatted("{}.{}.tmp", index.string(), getpid()));
  expect_equal(read_kept_corpus(paths, index), corpus);
  folder.write("text.txt", "the time machines");
  thrown<Error>([&] { read_kept_corpus(paths, index); });
  expect_equal(*load_corpus_index(index, {}), corpus);
}

}  // namespace
}  // namespace unroll
