// What may be written: a model as its description says, in a form that can be read.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <limits>
#include <string>

#include "base/formatted.h"
#include "checkpoint/small_checkpoint.h"
#include "support/temp_folder.h"
#include "support/thrown.h"
#include "unroll/checkpoint.h"
#include "unroll/concise.h"
#include "unroll/error.h"
#include "unroll/scratch.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

TEST(MakeCheckpoint, OfAModelIsWhatItComputes) {
  const TempFolder folder;
  const auto corpus = make_corpus("some text");
  const int64_t V = corpus.vocab.size();
  at::manual_seed(0);
  RNNModel net(torch::nn::RNN(torch::nn::RNNOptions(V, 4).nonlinearity(torch::kReLU)), V);
  save_checkpoint(folder / "relu", make_checkpoint(net, corpus.vocab, corpus.text));
  const auto loaded = load_checkpoint(folder / "relu");
  EXPECT_EQ(loaded.config.cell, Cell::kRnnRelu);
  const auto X = torch::arange(V).view({1, V});
  EXPECT_TRUE(torch::equal(make_model(loaded, torch::kCPU, {.backend = Backend::kPlain})
                               ->forward(X, net.begin_state(1))
                               .first,
                           net.forward(X, net.begin_state(1)).first));
}

TEST(MakeCheckpoint, WhatNoDescriptionStandsForIsNotWritten) {
  const TempFolder folder;
  const auto corpus = make_corpus("some text");
  const int64_t V = corpus.vocab.size();
  const RNNModel unbiased(torch::nn::LSTM(torch::nn::LSTMOptions(V, 4).bias(false)), V);
  EXPECT_EQ(thrown<Error>([&] { make_checkpoint(unbiased, corpus.vocab, corpus.text); }),
            "no description stands for this model: its recurrent layer has no biases");
  const RNNModelScratch own(V, 4, torch::kCPU, get_params, init_rnn_state,
                            [](const auto&... given) { return rnn(given...); });
  EXPECT_EQ(thrown<Error>([&] { make_checkpoint(own, corpus.vocab, corpus.text); }),
            "no description stands for this scratch model: its forward function is its own");
  const auto net = make_model(kSmall, V + 1, torch::kCPU);
  EXPECT_EQ(thrown<Error>([&] { make_checkpoint(*net, corpus.vocab, corpus.text); }),
            formatted("the vocabulary must have the model's {} entries, got {}", V + 1, V));
}

TEST(MakeCheckpoint, WeightsOfAnotherModelAreNotWritten) {
  const TempFolder folder;
  const auto saved = checkpoint_of(kSmall, make_corpus("some text"));
  const auto refused = [&](auto change) {
    auto other = saved;
    change(other);
    const auto message = thrown<Error>([&] { save_checkpoint(folder / "other", other); });
    EXPECT_FALSE(std::filesystem::exists(folder / "other"));
    return message;
  };
  EXPECT_THAT(refused([](auto& other) { other.config.hidden = 4; }),
              HasSubstr("weight W_xh must have shape [8, 4], got [8, 3]"));
  EXPECT_THAT(refused([](auto& other) { other.weights.pop_back(); }),
              HasSubstr("weight b_q of shape [8] is missing"));
  EXPECT_THAT(refused([](auto& other) { other.weights[0].name = "W_xy"; }), HasSubstr("W_xh"));
  EXPECT_THAT(refused([](auto& other) {
                other.weights[1].tensor = other.weights[1].tensor.to(torch::kFloat64);
              }),
              HasSubstr("weight W_hh must be of Float, got Double"));
}

TEST(MakeCheckpoint, WhatCouldNotBeReadIsNotWritten) {
  const TempFolder folder;
  CorpusOptions by_word;
  by_word.text = {Normalize::kLetters, TokenKind::kWord};
  const auto words = make_corpus("some words of a text", by_word);
  const auto net = make_model(kSmall, words.vocab.size(), torch::kCPU);
  EXPECT_EQ(thrown<Error>([&] { make_checkpoint(*net, words.vocab, {}); }),
            "the vocabulary is of tokens by word, but the text was read by char");
  const Vocab reserved({{"a"}}, 0, {"<pad>"});
  EXPECT_EQ(
      thrown<Error>([&] { make_checkpoint(*make_model(kSmall, 3, torch::kCPU), reserved, {}); }),
      "a token by char must be one code point, got '<pad>'");
  for (const auto& weight : values(net->weights())) {
    weight.set_data(weight.to(torch::kFloat64));
  }
  EXPECT_EQ(thrown<Error>([&] { make_checkpoint(*net, words.vocab, words.text); }),
            "weight W_xh must be of Float, got Double");
  auto checkpoint = checkpoint_of(kSmall, words);
  checkpoint.epochs = -1;
  thrown<Error>([&] { save_checkpoint(folder / "model", checkpoint); });
  EXPECT_EQ(folder.size(), 0);
  checkpoint.epochs = 1;
  checkpoint.perplexity = std::numeric_limits<double>::infinity();
  save_checkpoint(folder / "model", checkpoint);
  EXPECT_EQ(load_checkpoint(folder / "model").perplexity, 0);
}

TEST(MakeCheckpoint, OfAStateThatIsNotZeroIsNotWritten) {
  const auto corpus = make_corpus("some text");
  const RNNModelScratch net(
      corpus.vocab.size(), 4, torch::kCPU, get_params,
      [](int64_t B, int64_t H, torch::Device) {
        return State{torch::full({B, H}, 0.5)};
      },
      rnn);
  EXPECT_EQ(thrown<Error>([&] { make_checkpoint(net, corpus.vocab, corpus.text); }),
            "no description stands for this scratch model: its first state is its own");
}

}  // namespace
}  // namespace unroll
