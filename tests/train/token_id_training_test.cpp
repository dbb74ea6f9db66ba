// Sequences that are no text are trained on without a vocabulary.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <vector>

#include "support/thrown.h"
#include "unroll/compute.h"
#include "unroll/error.h"
#include "unroll/generate.h"
#include "unroll/train.h"

namespace unroll {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

class TokenIdTraining : public ::testing::Test {
 protected:
  static std::unique_ptr<SequenceModel> make_net() {
    at::manual_seed(0);
    return make_model({.cell = Cell::kGru, .hidden = 16}, 4, torch::kCPU);
  }

  // 0 1 1 2 3 1 and again.
  const torch::Tensor series = torch::tensor({0, 1, 1, 2, 3, 1}).repeat({50});
  const SeqDataLoader train_iter{series, {.batch_size = 4, .num_steps = 12, .offset = 0}};
  const TrainOptions options{.epochs = 3, .updater = {.optimizer = Optimizer::kAdam, .lr = 0.02}};
};

TEST_F(TokenIdTraining, LearnsASequence) {
  const auto net = make_net();
  auto longer = options;
  longer.epochs = 60;
  const auto result = train_ch8(*net, train_iter, longer);
  EXPECT_LT(result.perplexity(), 1.1);
  EXPECT_THAT(result.predictions, IsEmpty());
  EXPECT_THAT(predict_ch8({0, 1}, 6, *net), ElementsAre(0, 1, 1, 2, 3, 1, 0, 1));
}

TEST_F(TokenIdTraining, IsThatWithAVocabulary) {
  const auto vocab = Vocab::from_tokens({"<unk>", "a", "b", "c"}, TokenKind::kChar);
  const auto with = make_net();
  auto no_prompts = options;
  no_prompts.prompts.clear();
  train_ch8(*with, train_iter, vocab, no_prompts);
  const auto without = make_net();
  train_ch8(*without, train_iter, options);
  const auto expected = values(with->weights());
  const auto actual = values(without->weights());
  for (std::size_t i = 0; i < expected.size(); ++i) {
    EXPECT_TRUE(torch::equal(actual[i], expected[i])) << "weight " << i;
  }
}

TEST_F(TokenIdTraining, PredictsNothingOnItsWay) {
  const auto net = make_net();
  auto each = options;
  each.every = 1;
  int epochs = 0;
  TrainCallbacks callbacks;
  callbacks.on_epoch = [&](const EpochStats&) { ++epochs; };
  callbacks.on_prediction = [](const EpochStats&, const std::string& text) { FAIL() << text; };
  train_ch8(*net, train_iter, each, callbacks);
  EXPECT_EQ(epochs, 3);
}

// With a vocabulary, id 0 is `<unk>`.
TEST_F(TokenIdTraining, IsValidatedWithEachId) {
  const auto net = make_net();
  Training training(*net, train_iter, options, series.slice(0, 0, 60));
  const auto result = training.run();
  EXPECT_TRUE(result.valid_perplexity());
  EXPECT_FALSE(result.last_validated()->valid_known_perplexity);
}

TEST_F(TokenIdTraining, IdsOutsideTheModelAreRefused) {
  const auto net = make_net();
  const SeqDataLoader other(series + 1, {.batch_size = 4, .num_steps = 12});
  EXPECT_EQ(thrown<Error>([&] { train_ch8(*net, other, options); }),
            "a token of the corpus must be in the model's [0, 4), got 4");
}

}  // namespace
}  // namespace unroll
