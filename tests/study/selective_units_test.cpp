#include "study/selective_units.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "support/model_configs.h"
#include "support/random_values.h"
#include "support/text_tokens.h"
#include "support/thrown.h"
#include "unroll/corpus.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::Field;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::SizeIs;

// A scratch RNN whose weights are set by hand, to read a text of its own characters.
class HandMade {
 public:
  HandMade(std::string_view text, int64_t hidden, TokenKind kind = TokenKind::kChar)
      : text_(text, kind),
        config_{.hidden = hidden},
        net_(make_model(config_, text_.vocab.size(), torch::kCPU)) {
    const torch::NoGradGuard no_grad;
    for (auto& weight : values(net_->weights())) {
      weight.zero_();
    }
  }

  // What a unit gets when it reads a token.
  void input(int64_t unit, const std::string& token, double value) {
    set("W_xh", {text_.vocab[token], unit}, value);
  }
  // What it gets at each token.
  void bias(int64_t unit, double value) { set("b_h", {unit}, value); }
  // What it gets of its own activation before.
  void keep(int64_t unit, double value) { set("W_hh", {unit, unit}, value); }

  std::vector<SelectiveUnit> find(int64_t count) const {
    return selective_units(config_, net_->weights(), text_.indices, text_.vocab, count);
  }

 private:
  void set(const std::string& name, std::initializer_list<at::indexing::TensorIndex> at,
           double value) {
    const torch::NoGradGuard no_grad;
    tensor_named(net_->weights(), name).index(at).fill_(value);
  }

  TextTokens text_;
  ModelConfig config_;
  std::unique_ptr<SequenceModel> net_;
};

std::string repeated(std::string_view text) {
  std::string result;
  for (int i = 0; i < 30; ++i) {
    result += text;
  }
  return result;
}

auto is_unit(int64_t unit, const std::string& follows) {
  return AllOf(Field(&SelectiveUnit::layer, 0), Field(&SelectiveUnit::unit, unit),
               Field(&SelectiveUnit::follows, follows));
}

TEST(SelectiveUnits, AreFoundWithWhatTheyFollow) {
  HandMade net(repeated("me (he) bee at "), 5);
  net.input(0, "e", 2);
  // Inside a word, which is not at a space.
  net.bias(1, 3);
  net.input(1, " ", -6);
  // Remembers a parenthesis until it is closed.
  net.keep(2, 3);
  net.bias(2, -0.5);
  net.input(2, "(", 10);
  net.input(2, ")", -10);
  // Saturated: constant, but for the last digits.
  net.bias(3, 5);
  net.input(3, "e", 0.01);
  const auto units = net.find(12);
  ASSERT_THAT(units, SizeIs(3));
  EXPECT_THAT(units, ElementsAre(is_unit(1, "white space"), is_unit(0, "the letter e"),
                                 is_unit(2, "being inside parentheses")));
  EXPECT_NEAR(units[0].correlation, -1, 1e-9);
  EXPECT_NEAR(units[1].correlation, 1, 1e-9);
  EXPECT_GT(units[2].correlation, 0.95);
  EXPECT_FALSE(units[1].needs_memory);
  EXPECT_TRUE(units[2].needs_memory);
  ASSERT_THAT(units[1].activations, SizeIs(30 * 15));
  EXPECT_EQ(units[1].activations[0], 0);
  EXPECT_FLOAT_EQ(units[1].activations[1], std::tanh(2.0F));
}

TEST(SelectiveUnits, CorrelationIsPearsons) {
  HandMade net(repeated("aab bc"), 1);
  net.input(0, "a", 0.3);
  net.input(0, "b", -0.4);
  net.keep(0, 0.5);
  const auto units = net.find(1);
  ASSERT_THAT(units, SizeIs(1));
  ASSERT_EQ(units[0].follows, "vowels");
  const auto& h = units[0].activations;
  const auto N = static_cast<double>(h.size());
  double sum_x = 0, sum_y = 0, sum_xx = 0, sum_yy = 0, sum_xy = 0;
  for (std::size_t n = 0; n < h.size(); ++n) {
    const double x = n % 6 < 2 ? 1 : 0;
    const double y = h[n];
    sum_x += x;
    sum_y += y;
    sum_xx += x * x;
    sum_yy += y * y;
    sum_xy += x * y;
  }
  const double expected = (N * sum_xy - sum_x * sum_y) /
                          std::sqrt((N * sum_xx - sum_x * sum_x) * (N * sum_yy - sum_y * sum_y));
  EXPECT_NEAR(units[0].correlation, expected, 1e-9);
  EXPECT_LT(units[0].correlation, 0.99);
}

TEST(SelectiveUnits, NoUnitComesTwiceAndNoPropertyThrice) {
  HandMade net(repeated("be and so"), 4);
  for (int64_t unit = 0; unit < 4; ++unit) {
    net.input(unit, "b", unit == 3 ? -1 : 1);  // equally close, of either sign
  }
  const auto units = net.find(12);
  ASSERT_THAT(units, SizeIs(4));
  EXPECT_THAT(units[0], is_unit(0, "the letter b"));
  EXPECT_THAT(units[1], is_unit(1, "the letter b"));
  EXPECT_EQ(units[2].unit, 2);
  EXPECT_EQ(units[3].unit, 3);
  EXPECT_NE(units[2].follows, "the letter b");
  EXPECT_EQ(units[3].follows, units[2].follows);
  EXPECT_EQ(units[3].correlation, -units[2].correlation);
  EXPECT_THAT(net.find(3), SizeIs(3));
  EXPECT_THAT(net.find(0), IsEmpty());
}

TEST(SelectiveUnits, OfWordsAndBytesAreFoundToo) {
  HandMade words(repeated("the cat saw the dog\n"), 1, TokenKind::kWord);
  words.input(0, "the", 1);
  EXPECT_THAT(words.find(1), ElementsAre(is_unit(0, "the word the")));
  HandMade bytes(repeated("caf\xc3\xa9 "), 1, TokenKind::kByte);
  bytes.input(0, "\xc3", 1);
  EXPECT_THAT(bytes.find(1), ElementsAre(is_unit(0, "the byte 0xC3")));
}

// A unit's activation is h of its layer: the part of the state that comes first.
TEST(SelectiveUnits, OfEveryModelHaveTheActivationsOfTheirState) {
  const auto corpus = make_corpus(sample_text(), {.text = {}, .max_tokens = 300});
  for (const auto& model : all_models(6)) {
    SCOPED_TRACE(name_of(model));
    at::manual_seed(1);
    const auto net = make_model(model, corpus.vocab.size(), torch::kCPU);
    draw_weights(*net);
    const auto find = [&] {
      return selective_units(model, net->weights(), corpus.indices, corpus.vocab, 4);
    };
    const auto units = find();
    if (model.cell == Cell::kMlp) {
      EXPECT_THAT(units, IsEmpty());
      continue;
    }
    ASSERT_THAT(units, SizeIs(4));
    const Inference inference(*net);
    const auto tokens = corpus.indices.to(torch::kInt64).unsqueeze(0);
    const auto h = net->forward(tokens, net->begin_state(1)).second.front().view({-1, 6});
    const auto again = find();
    for (std::size_t i = 0; i < units.size(); ++i) {
      const auto expected = h.index({units[i].layer, units[i].unit}).item<float>();
      EXPECT_NEAR(units[i].activations.back(), expected, 1e-5);
      EXPECT_EQ(again[i].follows, units[i].follows);
      EXPECT_EQ(again[i].correlation, units[i].correlation);
      EXPECT_EQ(again[i].activations, units[i].activations);
    }
  }
}

TEST(SelectiveUnits, RefusesWhatTheModelCannotRead) {
  const TextTokens text("ab ab ab ab ab ab ab ab ab ab ab ab ", TokenKind::kChar);
  const ModelConfig config{.hidden = 2};
  const auto net = make_model(config, text.vocab.size(), torch::kCPU);
  const auto find = [&](const torch::Tensor& tokens, const Vocab& vocab) {
    selective_units(config, net->weights(), tokens, vocab);
  };
  thrown<Error>([&] { find(text.indices, Vocab()); });
  thrown<Error>([&] { find(text.indices + 3, text.vocab); });
  thrown<Error>([&] { find(text.indices.view({1, -1}), text.vocab); });
  EXPECT_THAT(selective_units(config, net->weights(), text.indices.narrow(0, 0, 0), text.vocab),
              IsEmpty());
  const torch::NoGradGuard no_grad;
  tensor_named(net->weights(), "b_h").fill_(std::numeric_limits<float>::quiet_NaN());
  EXPECT_THAT(thrown<Error>([&] { find(text.indices, text.vocab); }),
              HasSubstr("token 0 of the text is not finite"));
}

}  // namespace
}  // namespace unroll
