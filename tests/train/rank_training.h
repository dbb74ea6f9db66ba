#pragma once

#include <gtest/gtest.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <mutex>
#include <utility>
#include <vector>

#include "support/all_close.h"
#include "support/in_float64.h"
#include "support/model_configs.h"
#include "unroll/corpus.h"
#include "unroll/train.h"

namespace unroll {

inline constexpr double kRounding = 1e-9;

/// What a training came to, as a rank has it.
struct RankOutcome {
  std::vector<EpochStats> epochs;
  std::vector<torch::Tensor> weights;
};

inline void expect_same(const RankOutcome& actual, const RankOutcome& expected,
                        double tolerance = kRounding) {
  ASSERT_EQ(actual.epochs.size(), expected.epochs.size());
  for (std::size_t i = 0; i < expected.epochs.size(); ++i) {
    EXPECT_NEAR(actual.epochs[i].perplexity, expected.epochs[i].perplexity, tolerance) << i;
    EXPECT_NEAR(actual.epochs[i].grad_norm, expected.epochs[i].grad_norm, tolerance) << i;
    EXPECT_EQ(actual.epochs[i].skipped, expected.epochs[i].skipped) << i;
  }
  ASSERT_EQ(actual.weights.size(), expected.weights.size());
  for (std::size_t i = 0; i < expected.weights.size(); ++i) {
    EXPECT_TRUE(all_close(actual.weights[i], expected.weights[i], tolerance)) << i;
  }
}

/// Trains models that are the same on each rank.
class RankTraining : public ::testing::Test {
 protected:
  static std::unique_ptr<SequenceModel> make_net(const Corpus& corpus, const TestModel& model) {
    static std::mutex one_at_a_time;  // ranks are threads here, and draw from one generator
    const std::lock_guard<std::mutex> lock(one_at_a_time);
    at::manual_seed(1);
    return make_model(model, corpus.vocab.size(), torch::kCPU);
  }
  static std::unique_ptr<SequenceModel> make_net(const Corpus& corpus) {
    return make_net(corpus, plain(ModelKind::kConcise, Cell::kLstm, 12));
  }

  // A training without more options.
  RankOutcome train(const TestModel& model, const SeqDataLoader& train_iter, int64_t epochs,
                    std::shared_ptr<Ranks> ranks) const {
    const auto net = make_net(corpus, model);
    const auto result =
        train_ch8(*net, train_iter, {.epochs = epochs, .step = {.ranks = std::move(ranks)}});
    return {result.epochs, values(net->weights())};
  }

  SeqDataLoader batches(Sampling sampling) const {
    return {corpus.indices, {.batch_size = 8, .num_steps = 10, .sampling = sampling}};
  }

  const InFloat64 in_float64;
  const Corpus corpus = make_corpus(sample_text(), {.max_tokens = 700});
};

}  // namespace unroll
