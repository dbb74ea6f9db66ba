// Continuations by one kernel, on the CPU, against the model's own steps.
#include "fused/cuda_decoder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/formatted.h"
#include "emulation/emulated_driver.h"
#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/compute.h"
#include "unroll/error.h"
#include "unroll/generate.h"
#include "unroll/vocab.h"

namespace unroll {
namespace {

using ::testing::Each;
using ::testing::ElementsAreArray;
using ::testing::HasSubstr;

// Of normally distributed weights, biases too: hardly two tokens are nearly as likely. They are no
// larger than that a difference in the last place stays small for many steps.
std::unique_ptr<SequenceModel> random_model(const TestModel& model, int64_t vocab_size) {
  at::manual_seed(0);
  auto net = make_model(model, vocab_size, torch::kCPU);
  const torch::NoGradGuard no_grad;
  for (const auto& [name, weight] : net->weights()) {
    weight.copy_(torch::randn_like(weight) / std::sqrt(static_cast<double>(model.hidden)));
  }
  return net;
}

// What Decoder::most_likely promises, by single steps.
std::vector<int64_t> by_steps(Decoder& decoder, std::span<const int64_t> fed, std::size_t B,
                              std::optional<int64_t> never) {
  std::vector<int64_t> taken(fed.size(), -1);
  std::vector<int64_t> tokens(B);
  for (std::size_t first = 0; first < fed.size(); first += B) {
    for (std::size_t b = 0; b < B; ++b) {
      tokens[b] = fed[first + b] >= 0 ? fed[first + b] : taken[first + b - B];
    }
    const auto logits = decoder.step(tokens);
    const std::size_t V = logits.size() / B;
    for (std::size_t b = 0; b < B; ++b) {
      std::vector<float> own(logits.begin() + static_cast<std::ptrdiff_t>(b * V),
                             logits.begin() + static_cast<std::ptrdiff_t>((b + 1) * V));
      if (never) {
        own[static_cast<std::size_t>(*never)] = -std::numeric_limits<float>::infinity();
      }
      if (first + B == fed.size() || fed[first + B + b] < 0) {
        taken[first + b] = std::max_element(own.begin(), own.end()) - own.begin();
      }
    }
  }
  return taken;
}

class DeviceDecoderOfEachModel : public ::testing::TestWithParam<TestModel> {};

TEST_P(DeviceDecoderOfEachModel, TakesTheTokensThatStepsTake) {
  // More sequences than a group takes at once, so that it has a second, smaller tile.
  constexpr int64_t B = 9;
  constexpr int64_t T = 6;
  // Vocabularies of fewer tokens than a block computes at a time, and of more.
  for (const int64_t V : {9, 131}) {
    const auto net = random_model(GetParam(), V);
    const auto layout = layout_of(GetParam());
    // Prefixes of different lengths and tokens given in between; at step 1 all are given.
    auto given = torch::randint(V, {T, B}, torch::kInt64);
    given.narrow(0, 2, T - 2).masked_fill_(torch::rand({T - 2, B}) < 0.6, -1);
    const std::vector<int64_t> fed(given.data_ptr<int64_t>(), given.data_ptr<int64_t>() + T * B);
    for (const bool in_clusters : {true, false}) {
      SCOPED_TRACE(formatted("V {}, clusters {}", V, in_clusters));
      const EmulatedKernels kernels(in_clusters, /*multiprocessors=*/3);
      ASSERT_TRUE(can_decode(kernels, layout, values(net->weights()), B));
      CudaDecoder at_once(kernels, layout, *net, B);
      const auto steps = net->make_decoder(B);
      for (const auto never : {std::optional<int64_t>(), std::optional<int64_t>(0)}) {
        EXPECT_THAT(at_once.most_likely(fed, never),
                    ElementsAreArray(by_steps(*steps, fed, B, never)));
      }
      // The state is the same, and single steps go on from it.
      const std::vector<int64_t> next(B, 3);
      const auto actual = at_once.step(next);
      const auto expected = steps->step(next);
      ASSERT_EQ(actual.size(), expected.size());
      for (std::size_t i = 0; i < expected.size(); ++i) {
        EXPECT_NEAR(actual[i], expected[i], 2e-5) << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Models, DeviceDecoderOfEachModel,
                         ::testing::ValuesIn(plain_recurrent_models(40)),
                         [](const auto& info) { return name_of(info.param); });

const TestModel kRnn = plain(ModelKind::kScratch, Cell::kRnn, 40);

TEST(CudaDecoder, ServesEachSizeOfAGroup) {
  for (const int64_t hidden : {7, 33, 250, 400}) {
    auto model = kRnn;
    model.hidden = hidden;
    const auto net = random_model(model, 12);
    for (const bool in_clusters : {true, false}) {
      const EmulatedKernels kernels(in_clusters, /*multiprocessors=*/8);
      for (const int64_t B : {1, 2, 9}) {
        SCOPED_TRACE(formatted("H {}, B {}, clusters {}", hidden, B, in_clusters));
        std::vector<int64_t> fed(static_cast<std::size_t>(4 * B), -1);
        for (int64_t b = 0; b < B; ++b) {
          fed[static_cast<std::size_t>(b)] = b;
        }
        CudaDecoder at_once(kernels, layout_of(model), *net, B);
        const auto steps = net->make_decoder(B);
        EXPECT_THAT(at_once.most_likely(fed, {}),
                    ElementsAreArray(by_steps(*steps, fed, static_cast<std::size_t>(B), {})));
      }
    }
  }
}

class DeviceDecoderTokens : public ::testing::Test {
 protected:
  static constexpr int64_t V = 75;

  // Logits that are `b_q` whatever the state is.
  std::vector<int64_t> taken_of(const torch::Tensor& b_q, std::optional<int64_t> never) {
    const auto net = random_model(kRnn, V);
    const torch::NoGradGuard no_grad;
    tensor_named(net->weights(), "W_hq").zero_();
    tensor_named(net->weights(), "b_q").copy_(b_q);
    std::vector<int64_t> result;
    for (const bool in_clusters : {true, false}) {
      const EmulatedKernels kernels(in_clusters);
      CudaDecoder decoder(kernels, layout_of(kRnn), *net, 1);
      const auto taken = decoder.most_likely(std::vector<int64_t>{3, -1}, never);
      result.insert(result.end(), taken.begin(), taken.end());
    }
    return result;
  }
};

TEST_F(DeviceDecoderTokens, OfEquallyLikelyOnesTheFirstIsTaken) {
  EXPECT_THAT(taken_of(torch::zeros(V), {}), Each(0));
  EXPECT_THAT(taken_of(torch::zeros(V), 0), Each(1));
  auto b_q = torch::zeros(V);
  for (const int64_t token : {74, 41, 36}) {  // parts of other blocks, other rounds, other threads
    b_q[token] = 1;
    EXPECT_THAT(taken_of(b_q, {}), Each(token));
  }
}

TEST_F(DeviceDecoderTokens, ThereMayBeNone) {
  const float infinity = std::numeric_limits<float>::infinity();
  EXPECT_THAT(taken_of(torch::full(V, -infinity), {}), Each(-1));
  EXPECT_THAT(taken_of(torch::full(V, std::numeric_limits<float>::quiet_NaN()), {}), Each(-1));
  auto only = torch::full(V, -infinity);
  only[50] = -1000;
  EXPECT_THAT(taken_of(only, {}), Each(50));
  EXPECT_THAT(taken_of(only, 50), Each(-1));
  only[60] = infinity;
  EXPECT_THAT(taken_of(only, {}), Each(60));
}

TEST(CudaDecoder, WhatCannotBeFedIsRefused) {
  const auto net = random_model(kRnn, 9);
  const EmulatedKernels kernels(/*has_clusters=*/true);
  CudaDecoder decoder(kernels, layout_of(kRnn), *net, 2);
  const auto message = [&](std::vector<int64_t> fed) {
    return thrown<Error>([&] { decoder.most_likely(fed, {}); });
  };
  EXPECT_EQ(message({}), "steps of 2 tokens are to be fed, got 0 tokens");
  EXPECT_EQ(message({1, 2, 3}), "steps of 2 tokens are to be fed, got 3 tokens");
  EXPECT_EQ(message({1, -1}), "a token must be in [0, 9), got -1");
  EXPECT_EQ(message({1, 2, 9, -1}), "a token must be in [0, 9), got 9");
  EXPECT_EQ(message({1, 2, 0, -2}), "a token must be in [0, 9), got -2");
}

TEST(CudaDecoder, SeveralLayersAndLargeVocabulariesAreNotServed) {
  auto model = plain(ModelKind::kConcise, Cell::kGru, 40);
  const EmulatedKernels kernels(/*has_clusters=*/true);
  const auto is_served = [&](int64_t vocab_size) {
    const auto net = make_model(model, vocab_size, torch::kCPU);
    return can_decode(kernels, layout_of(model), values(net->weights()), 1);
  };
  EXPECT_TRUE(is_served(512));  // two blocks, which compute 32 logits at a time, eight times
  EXPECT_FALSE(is_served(513));
  model.layers = 2;
  EXPECT_FALSE(is_served(9));
}

TEST(CudaDecoder, WeightsThatDoNotFitAreRefused) {
  class OfOtherWeights : public SequenceModel {
   public:
    std::pair<torch::Tensor, State> forward(const torch::Tensor&, const State&) override {
      return {};
    }
    State begin_state(int64_t) const override { return {}; }
    int64_t vocab_size() const override { return 9; }
    NamedTensors weights() const override {
      return {{"W_xh", torch::zeros({8, 40})},
              {"W_hh", torch::zeros({40, 40})},
              {"b_h", torch::zeros({40})},
              {"W_hq", torch::zeros({40, 9})},
              {"b_q", torch::zeros({9})}};
    }
    torch::Device device() const override { return torch::kCPU; }
  };
  OfOtherWeights net;
  const EmulatedKernels kernels(/*has_clusters=*/true);
  EXPECT_EQ(thrown<Error>([&] { CudaDecoder(kernels, layout_of(kRnn), net, 1); }),
            "what is looked up for the tokens must have shape [9, 40], got [8, 40]");
}

TEST(CudaDecoder, OthersTakeOneStepAtATime) {
  const auto decoder = make_model(kRnn, 9, torch::kCPU)->make_decoder(1);
  EXPECT_EQ(decoder->steps_at_once(), 0);
  EXPECT_EQ(thrown<Error>([&] { decoder->most_likely(std::vector<int64_t>{1}, {}); }),
            "this decoder takes one step at a time");
}

// A model whose texts are continued by the kernels.
class OnKernels : public SequenceModel {
 public:
  OnKernels(SequenceModel& model, const ModelConfig& config) : model_(model), config_(config) {}

  std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) override {
    return model_.forward(X, state);
  }
  std::unique_ptr<Decoder> make_decoder(int64_t batch_size) override {
    return std::make_unique<CudaDecoder>(kernels_, layout_of(config_), model_, batch_size);
  }
  State begin_state(int64_t batch_size) const override { return model_.begin_state(batch_size); }
  int64_t vocab_size() const override { return model_.vocab_size(); }
  NamedTensors weights() const override { return model_.weights(); }
  torch::Device device() const override { return model_.device(); }

 private:
  SequenceModel& model_;
  ModelConfig config_;
  EmulatedKernels kernels_{/*has_clusters=*/true};
};

class GenerateAtOnce : public ::testing::Test {
 protected:
  // Calls `use` with a model, and with the same on kernels; gives what both gave.
  template <typename Use>
  auto both(const Use& use) {
    const auto net = random_model(kRnn, vocab.size());
    OnKernels on_kernels(*net, kRnn);
    return std::pair(use(*net), use(on_kernels));
  }

  const Vocab vocab{{{" ", "a", "b", "c", "d", "e", "f", "g"}}};
  const std::vector<std::string> prefixes{"a", "bad cab", "cz"};
};

TEST_F(GenerateAtOnce, TextsAreTheSame) {
  for (const int64_t length : {0, 1, 70}) {  // of no step, and of more than are taken at once
    for (const bool take_unk : {false, true}) {
      const auto [expected, actual] = both([&](SequenceModel& net) {
        return generate(prefixes, length, net, vocab, {.take_unk = take_unk});
      });
      EXPECT_THAT(actual, ElementsAreArray(expected));
    }
  }
}

TEST_F(GenerateAtOnce, AStopStringEndsOneTextAlone) {
  const auto whole =
      both([&](SequenceModel& net) { return generate(prefixes, 20, net, vocab, {}); });
  const std::string stop = whole.first[0].substr(4, 2);
  const auto [expected, actual] = both([&](SequenceModel& net) {
    std::vector<std::string> shown(prefixes.size());
    auto texts = generate(prefixes, 20, net, vocab, {.stop = {stop}},
                          [&](std::size_t i, std::string_view piece) { shown[i] += piece; });
    texts.insert(texts.end(), shown.begin(), shown.end());
    return texts;
  });
  EXPECT_THAT(actual, ElementsAreArray(expected));
  EXPECT_LT(actual[0].size(), whole.first[0].size());
}

TEST_F(GenerateAtOnce, DrawsAndRunsAreTakenStepByStep) {
  for (const auto& options :
       {GenerateOptions{.temperature = 0.8, .seed = 3}, GenerateOptions{.no_repeat_ngram = 2}}) {
    const auto [expected, actual] =
        both([&](SequenceModel& net) { return generate(prefixes, 12, net, vocab, options); });
    EXPECT_THAT(actual, ElementsAreArray(expected));
  }
}

}  // namespace
}  // namespace unroll
