#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

#include "train/progress.h"
#include "unroll/seq_data.h"
#include "unroll/train.h"

namespace unroll {
namespace {

using ::testing::ElementsAre;

// Keeps what it was given; the loss of its n-th batch is n nats a token.
class RecordingStep : public TrainStep {
 public:
  explicit RecordingStep(TrainProgress& progress) : progress_(progress) {}

  void run(const Batch& batch, bool reset_state) override {
    batches.push_back(batch.X[0][0].item<int64_t>());
    resets.push_back(reset_state);
    auto& sums = progress_.sums;
    sums.loss.add_(static_cast<double>(batches.size() * batch.Y.numel()));
    sums.tokens += batch.Y.numel();
    ++sums.steps;
  }

  std::vector<int64_t> batches;
  std::vector<bool> resets;

 private:
  TrainProgress& progress_;
};

SeqDataLoader places(Sampling sampling) {
  return {torch::arange(41, torch::kInt32),
          {.batch_size = 2, .num_steps = 5, .sampling = sampling, .offset = 0}};
}

TEST(TrainEpoch, StartsFromZerosWhereTheStateIsNotCarried) {
  for (const auto sampling :
       {Sampling::kSequential, Sampling::kRandom, Sampling::kSequentialReset}) {
    TrainProgress progress;
    RecordingStep step(progress);
    train_epoch_ch8(places(sampling).epoch(0), step, progress);
    const bool later = sampling != Sampling::kSequential;
    EXPECT_THAT(step.resets, ElementsAre(true, later, later, later));
  }
}

TEST(TrainEpoch, PerplexityIsTheExponentialOfTheMeanLoss) {
  TrainProgress progress;
  RecordingStep step(progress);
  const auto stats = train_epoch_ch8(places(Sampling::kSequential).epoch(0), step, progress);
  EXPECT_NEAR(stats.perplexity, std::exp((1 + 2 + 3 + 4) / 4.0), 1e-9);
  EXPECT_EQ(stats.epoch, 1);
  EXPECT_EQ(progress.epoch, 1);
  EXPECT_EQ(progress.batch, 0);
}

TEST(TrainEpoch, GoesOnInsideAnEpoch) {
  TrainProgress progress;
  progress.epoch = 6;
  progress.batch = 2;
  RecordingStep step(progress);
  const auto stats = train_epoch_ch8(places(Sampling::kSequential).epoch(0), step, progress);
  EXPECT_THAT(step.batches, ElementsAre(10, 15));
  EXPECT_THAT(step.resets, ElementsAre(false, false));
  EXPECT_EQ(stats.epoch, 7);
}

}  // namespace
}  // namespace unroll
