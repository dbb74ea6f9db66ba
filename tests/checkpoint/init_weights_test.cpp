// A training that begins with a checkpoint's weights, on a text with more tokens.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "checkpoint/small_checkpoint.h"
#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/checkpoint.h"
#include "unroll/error.h"

namespace unroll {
namespace {

class InitWeightsOfEachModel : public ::testing::TestWithParam<TestModel> {};

TEST_P(InitWeightsOfEachModel, GiveTheSameLogitsOfTheTokensThatBothHave) {
  const auto corpus = make_corpus("some text");
  const auto from = checkpoint_of(GetParam(), corpus);
  const auto saved = make_model(from, torch::kCPU, GetParam().compute);
  const int64_t V = corpus.vocab.size();
  for (const int64_t more : {0, 1, 4}) {
    at::manual_seed(3);
    const auto net = make_model(GetParam(), V + more, torch::kCPU);
    std::vector<torch::Tensor> fresh;
    for (const auto& weight : values(net->weights())) {
      fresh.push_back(weight.detach().clone());
    }
    init_weights(*net, from);
    const auto X = torch::arange(V).view({1, V});
    const auto expected = saved->forward(X, saved->begin_state(1)).first;
    const auto logits = net->forward(X, net->begin_state(1)).first;
    EXPECT_TRUE(torch::allclose(logits.narrow(1, 0, V), expected, 1e-5, 1e-5));
    // Rows and columns of further tokens are as they were drawn.
    const auto weights = net->weights();
    for (std::size_t i = 0; i < weights.size(); ++i) {
      const auto& weight = weights[i].tensor;
      for (int64_t d = 0; d < weight.dim(); ++d) {
        if (weight.size(d) == V + more && more > 0) {
          EXPECT_TRUE(torch::equal(weight.narrow(d, V, more), fresh[i].narrow(d, V, more)));
        }
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, InitWeightsOfEachModel, ::testing::ValuesIn(all_models(5)),
                         [](const auto& info) { return name_of(info.param); });

TEST(InitWeights, OfAnotherSizeAreRefusedAndChangeNothing) {
  const auto corpus = make_corpus("some text");
  const int64_t V = corpus.vocab.size();
  const auto from = checkpoint_of(kSmall, corpus);
  auto larger = kSmall;
  larger.hidden = 4;
  for (const auto& [config, entries] : {std::pair{larger, V}, {larger, V + 2}, {kSmall, V - 1}}) {
    const auto net = make_model(config, entries, torch::kCPU);
    const auto before = net->weights().front().tensor.detach().clone();
    thrown<Error>([&, &model = *net] { init_weights(model, from); });
    EXPECT_TRUE(torch::equal(net->weights().front().tensor, before));
  }
}

TEST(InitWeights, OnlyWhatDoesNotMakeAnotherModelMayBeAskedFor) {
  const auto from = checkpoint_of(kSmall, make_corpus("some text"));
  EXPECT_NO_THROW(check_can_init(from, kSmall, from.text));
  auto replacing = from.text;
  replacing.invalid_utf8 = InvalidUtf8::kReplace;
  EXPECT_NO_THROW(check_can_init(from, kSmall, replacing));
  auto larger = kSmall;
  larger.hidden = 4;
  EXPECT_EQ(thrown<UsageError>([&] { check_can_init(from, larger, from.text); }),
            "hidden 4 differs from the checkpoint's 3, which a training that begins with it keeps");
  EXPECT_EQ(thrown<UsageError>([&] { check_can_init(from, kSmall, {.tokens = TokenKind::kWord}); }),
            "tokens word differs from the checkpoint's char, which a training that begins with it "
            "keeps");
}

}  // namespace
}  // namespace unroll
