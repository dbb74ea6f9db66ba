#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/fake_models.h"
#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/error.h"
#include "unroll/generate.h"

namespace unroll {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

const Vocab kLetters = Vocab::from_tokens({"<unk>", "a", "b", "c", "d"}, TokenKind::kChar);

TEST(Predict, WarmsUpOnThePrefixThenFeedsBackTheMostLikelyToken) {
  Successor net(kLetters.size());
  EXPECT_EQ(predict_ch8("ca", 3, net, kLetters), "cabcd");
  // The prefix, then the predictions; the last prediction is never fed.
  EXPECT_THAT(net.fed, ElementsAre(3, 1, 2, 3));
}

TEST(Predict, TakesAPrefixOfOneCharacter) {
  Successor net(kLetters.size());
  EXPECT_EQ(predict_ch8("b", 2, net, kLetters), "bcd");
  EXPECT_THAT(net.fed, ElementsAre(2, 3));
}

TEST(Predict, NoTokensLeaveThePrefix) {
  Successor net(kLetters.size());
  EXPECT_EQ(predict_ch8("abc", 0, net, kLetters), "abc");
}

TEST(Predict, UnknownCharactersCountAsUnknown) {
  Successor net(kLetters.size());
  EXPECT_EQ(predict_ch8("a?", 2, net, kLetters), "a?ab");
  EXPECT_THAT(net.fed, ElementsAre(1, 0, 1));
}

TEST(Predict, TheMostLikelyTokenMayBeUnknownAsInTheNotebook) {
  Successor net(kLetters.size());
  EXPECT_EQ(predict_ch8("d", 2, net, kLetters), "d<unk>a");
}

TEST(Predict, WordsAreJoinedBySpaces) {
  const auto words = Vocab::from_tokens({"<unk>", "to", "be", "\n", "or"}, TokenKind::kWord);
  Successor net(words.size());
  EXPECT_EQ(predict_ch8("to", 3, net, words), "to be\nor");
  net.fed.clear();
  EXPECT_EQ(predict_ch8("or to", 1, net, words), "or to be");
}

TEST(Predict, CodePointsAreWhole) {
  const auto vocab = Vocab::from_tokens({"<unk>", "\xc3\xa9", "\xe2\x82\xac"}, TokenKind::kChar);
  Successor net(vocab.size());
  EXPECT_EQ(predict_ch8("\xc3\xa9", 1, net, vocab), "\xc3\xa9\xe2\x82\xac");
}

TEST(Predict, PrefixesMayStandInBraces) {
  Constant net({0, 0, 0, 1, 0});
  EXPECT_THAT(predict_ch8({"a", "b"}, 2, net, kLetters), ElementsAre("acc", "bcc"));
  EXPECT_THAT(predict_ch8({"a"}, 1, net, kLetters), ElementsAre("ac"));
}

TEST(Predict, AVocabularyOfAnotherSizeIsRefused) {
  Constant net({0, 0, 0, 1});
  EXPECT_EQ(thrown<Error>([&] { predict_ch8("a", 1, net, kLetters); }),
            "the vocabulary must have the model's 4 entries, got 5");
}

TEST(Predict, AnEmptyPrefixOrANegativeLengthIsWrongUsage) {
  Successor net(kLetters.size());
  thrown<UsageError>([&] { predict_ch8("", 3, net, kLetters); });
  EXPECT_THAT(thrown<UsageError>([&] { predict_ch8("a", -1, net, kLetters); }), HasSubstr("-1"));
}

class PredictOfEachModel : public ::testing::TestWithParam<TestModel> {};

TEST_P(PredictOfEachModel, IsDeterministicAndRecordsNothing) {
  at::manual_seed(0);
  const auto net = make_model(GetParam(), kLetters.size(), torch::kCPU);
  const auto text = predict_ch8("ab", 20, *net, kLetters);
  EXPECT_TRUE(text.starts_with("ab"));
  EXPECT_EQ(predict_ch8("ab", 20, *net, kLetters), text);
  // A shorter continuation is the beginning of a longer one.
  EXPECT_TRUE(text.starts_with(predict_ch8("ab", 7, *net, kLetters)));
  EXPECT_TRUE(torch::GradMode::is_enabled());
  for (const auto& weight : values(net->weights())) {
    EXPECT_FALSE(weight.grad().defined());
  }
}

TEST_P(PredictOfEachModel, EqualsOneForwardOverThePrefix) {
  at::manual_seed(1);
  const auto net = make_model(GetParam(), kLetters.size(), torch::kCPU);
  for (const auto& weight : values(net->weights())) {
    weight.data().normal_();
  }
  const std::string prefix = "abcadbbc";
  std::vector<int64_t> indices;
  for (const char c : prefix) {
    indices.push_back(kLetters[std::string_view(&c, 1)]);
  }
  const auto logits = net->forward(torch::tensor(indices).unsqueeze(0), net->begin_state(1)).first;
  EXPECT_EQ(predict_ch8(prefix, 1, *net, kLetters),
            prefix + kLetters.to_token(logits[-1].argmax().item<int64_t>()));
}

INSTANTIATE_TEST_SUITE_P(Models, PredictOfEachModel, ::testing::ValuesIn(all_models(8)),
                         [](const auto& info) { return name_of(info.param); });

}  // namespace
}  // namespace unroll
