#include "unroll/indexed_text.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "temp_folder.h"
#include "thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

class IndexedTextTest : public ::testing::Test {
 protected:
  IndexedText read(const std::string& content, TextOptions text, std::vector<std::string> tokens) {
    tokens.insert(tokens.begin(), "<unk>");
    vocab_ = Vocab::from_tokens(tokens, text.tokens);
    return read_indexed_text(folder_.write("text", content), text, vocab_);
  }

  static std::vector<int32_t> values(const torch::Tensor& indices) {
    const auto* data = indices.const_data_ptr<int32_t>();
    return {data, data + indices.numel()};
  }

  TempFolder folder_;
  Vocab vocab_;
};

TEST_F(IndexedTextTest, HasTheVocabularysIndicesAndCountsWhatItLacks) {
  const auto text = read("A b, c!\nba", {}, {"a", "b", " "});
  EXPECT_THAT(values(text.indices), ElementsAre(1, 3, 2, 3, 0, 2, 1));
  EXPECT_EQ(text.unknown, 1);
  EXPECT_EQ(text.characters, 6);
}

TEST_F(IndexedTextTest, CharactersAreCodePointsWithASpaceBetweenWords) {
  const TextOptions words{.normalize = Normalize::kNone, .tokens = TokenKind::kWord};
  const auto text = read("the caf\xc3\xa9 of\nParis", words, {"the", "of", "\n"});
  EXPECT_THAT(values(text.indices), ElementsAre(1, 0, 2, 3, 0));
  EXPECT_EQ(text.unknown, 2);
  EXPECT_EQ(text.characters, 5 + 3 + 1 + 5);
}

TEST_F(IndexedTextTest, CodePointsAndBytesCountAsOne) {
  const TextOptions chars{.normalize = Normalize::kNone, .tokens = TokenKind::kChar};
  EXPECT_EQ(read("\xc3\xa9\xc3\xa9\xc3\xa9", chars, {"\xc3\xa9"}).characters, 2);
  const TextOptions bytes{.normalize = Normalize::kNone, .tokens = TokenKind::kByte};
  EXPECT_EQ(read("\xc3\xa9\xc3\xa9\xc3\xa9", bytes, {"\xc3"}).characters, 5);
}

TEST_F(IndexedTextTest, AStreamHasTheSameIndices) {
  std::string content;
  for (int i = 0; i < 300'000; ++i) {
    content += "one two three "[i % 14];
    content += i % 9 == 0 ? "\n" : "";
  }
  content.append(1'000'000, ' ');  // more than a block
  const auto text = read(content, {.tokens = TokenKind::kWord}, {"one", "two", "three"});
  std::vector<int32_t> streamed;
  stream_indices(folder_ / "text", {.tokens = TokenKind::kWord}, vocab_,
                 [&](std::span<const int64_t> block) {
                   streamed.insert(streamed.end(), block.begin(), block.end());
                 });
  EXPECT_EQ(streamed, values(text.indices));
}

TEST_F(IndexedTextTest, ErrorsNameTheFile) {
  EXPECT_THAT(thrown<Error>([&] { read("12 34", {}, {}); }), HasSubstr("text: has no token"));
  EXPECT_THAT(thrown<Error>([&] { read("caf\xe9", {.normalize = Normalize::kNone}, {}); }),
              HasSubstr("text: byte 3 (0xe9)"));
  EXPECT_THAT(thrown<Error>([&] { read_indexed_text(folder_ / "missing", {}, {}); }),
              HasSubstr("missing"));
}

}  // namespace
}  // namespace unroll
