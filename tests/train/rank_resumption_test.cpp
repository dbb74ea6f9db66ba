// A training of several ranks continues under another number of them.
#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "support/rank_threads.h"
#include "train/rank_training.h"
#include "unroll/train.h"

namespace unroll {
namespace {

// A training that ends after a batch, and leaves what a checkpoint keeps.
struct Stopped {
  TrainState state;
  std::vector<torch::Tensor> weights;
};

class RankResumption : public RankTraining,
                       public ::testing::WithParamInterface<std::pair<int64_t, int64_t>> {
 protected:
  Stopped stop_after(int64_t batch, std::shared_ptr<Ranks> ranks) const {
    const auto net = make_net(corpus);
    Training training(*net, train_iter, corpus.vocab, options(std::move(ranks)));
    Stopped stopped;
    TrainCallbacks callbacks;
    callbacks.on_batch = [&](const TrainProgress& at, int64_t) {
      if (at.epoch == 2 && at.batch == batch) {
        stopped.state = training.state();
        for (auto& entry : stopped.state.updater) {
          entry.tensor = entry.tensor.clone();
        }
        for (const auto& weight : net->weights()) {
          stopped.weights.push_back(weight.tensor.detach().clone());
        }
        throw std::runtime_error("stopped");
      }
    };
    EXPECT_THROW(training.run(callbacks), std::runtime_error);
    return stopped;
  }

  RankOutcome resume(const Stopped& from, std::shared_ptr<Ranks> ranks) const {
    const auto net = make_net(corpus);
    Training training(*net, train_iter, corpus.vocab, options(std::move(ranks)));
    const torch::NoGradGuard no_grad;
    const auto weights = values(net->weights());
    for (std::size_t i = 0; i < weights.size(); ++i) {
      weights[i].copy_(from.weights[i]);
    }
    training.load_state(from.state);
    const torch::AutoGradMode with_grad(true);
    return {training.run().epochs, values(net->weights())};
  }

  static TrainOptions options(std::shared_ptr<Ranks> ranks) {
    return {.epochs = 5,
            .updater = {.optimizer = Optimizer::kAdam, .lr = 0.01},
            .step = {.ranks = std::move(ranks)},
            .prompts = {}};
  }

  const SeqDataLoader train_iter = batches(Sampling::kSequential);
};

TEST_P(RankResumption, ContinuesWithinAnEpochUnderAnotherNumberOfRanks) {
  const auto [before, after] = GetParam();
  const auto net = make_net(corpus);
  const auto whole = train_ch8(*net, train_iter, corpus.vocab, options(nullptr));

  std::vector<Stopped> stopped(static_cast<std::size_t>(before));
  run_ranks(before, [&](const auto& ranks) { stopped[ranks->rank()] = stop_after(4, ranks); });
  ASSERT_EQ(stopped[0].state.progress.carry.size(), 2U);
  EXPECT_EQ(stopped[0].state.progress.carry[0].size(-2), 8);
  for (const auto& other : stopped) {
    EXPECT_TRUE(other.state.progress.carry[0].equal(stopped[0].state.progress.carry[0]));
  }
  run_ranks(after, [&](const auto& ranks) {
    expect_same(resume(stopped[0], ranks), {whole.epochs, values(net->weights())});
  });
}

INSTANTIATE_TEST_SUITE_P(BeforeAndAfter, RankResumption,
                         ::testing::Values(std::pair(2, 3), std::pair(3, 1), std::pair(1, 2)),
                         [](const auto& info) {
                           return std::to_string(info.param.first) + "Then" +
                                  std::to_string(info.param.second);
                         });

}  // namespace
}  // namespace unroll
