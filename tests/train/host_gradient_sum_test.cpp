#include "train/host_gradient_sum.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <utility>
#include <vector>

#include "support/all_close.h"
#include "support/rank_threads.h"
#include "support/thrown.h"
#include "support/twin.h"
#include "train/progress.h"
#include "unroll/compute.h"
#include "unroll/error.h"
#include "unroll/train.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

TEST(HostGradientSum, OfManyBucketsIsThatOfAllRanks) {
  // More than one bucket holds, of two kinds, one of them without a gradient.
  const auto sizes = std::vector<int64_t>{3, 700'000, 5, 700'000, 7};
  run_ranks(2, [&](const auto& ranks) {
    std::vector<torch::Tensor> params;
    for (std::size_t i = 0; i < sizes.size(); ++i) {
      params.push_back(torch::zeros({sizes[i]}, i == 2 ? torch::kFloat32 : torch::kFloat64)
                           .set_requires_grad(true));
      if (i != 4) {
        params.back().mutable_grad() =
            torch::full_like(params.back(), static_cast<double>(ranks->rank() + 1));
      }
    }
    HostGradientSum sum(ranks, params);
    // Rank 0 has 4 labels, rank 1 has 1.
    const auto labels = torch::tensor({0, 1, 2, 3}).view({1, 4}).clone();
    if (ranks->rank() == 1) {
      labels.narrow(1, 0, 3).fill_(-100);
    }
    const double loss = ranks->rank() == 0 ? 1 : 4;
    sum.begin(torch::tensor(loss, torch::kFloat64), labels);
    const auto whole = sum.finish();
    EXPECT_EQ(whole.tokens, 8);
    EXPECT_DOUBLE_EQ(whole.loss.template item<double>(), (4 * 1.0 + 1 * 4.0) / 5);
    for (std::size_t i = 0; i < 4; ++i) {
      EXPECT_TRUE(params[i].grad().allclose(torch::full_like(params[i], (4 * 1.0 + 1 * 2.0) / 5)))
          << i;
    }
    EXPECT_FALSE(params[4].grad().defined());
  });
}

class TravellingGradients : public ::testing::Test {
 protected:
  void make(Backend backend) {
    at::manual_seed(5);
    net_ = make_model({.cell = Cell::kLstm, .hidden = 300, .layers = 3}, kVocab, torch::kCPU,
                      {.backend = backend});
    params_ = values(net_->weights());
    sum_ = std::make_unique<HostGradientSum>(twin_, params_);
  }

  // Makes a new batch and no gradients.
  void next_batch() {
    batch_ = {torch::randint(kVocab, {3, 4}, torch::kInt64),
              torch::randint(kVocab, {3, 4}, torch::kInt64)};
    for (const auto& param : params_) {
      param.mutable_grad().reset();
    }
  }

  torch::Tensor begin() {
    next_batch();
    const auto loss = loss_of(*net_, batch_, net_->begin_state(3), options_, sum_->on_gradient());
    sum_->begin(loss.first, batch_.Y);
    twin_->started = 0;
    return loss.first;
  }

  // Sums of gradients that start during a step's backward pass, and those that start after it.
  std::pair<int64_t, int64_t> started() {
    std::pair<int64_t, int64_t> result;
    for (int step = 0; step < 2; ++step) {
      begin().backward();
      result.first = std::exchange(twin_->started, 0);
      const torch::NoGradGuard no_grad;
      sum_->finish();
      result.second = twin_->started;
      expect_gradients_of_the_batch();
    }
    return result;
  }

  void expect_gradients_of_the_batch() {
    std::vector<torch::Tensor> actual;
    for (const auto& param : params_) {
      actual.push_back(std::exchange(param.mutable_grad(), torch::Tensor()));
    }
    const torch::AutoGradMode with_grad(true);
    net_->loss(batch_, net_->begin_state(3)).first.backward();
    for (std::size_t i = 0; i < params_.size(); ++i) {
      EXPECT_TRUE(all_close(actual[i], params_[i].grad(), 1e-6)) << net_->weights()[i].name;
    }
  }

  static constexpr int64_t kVocab = 9;
  const std::shared_ptr<Twin> twin_ = std::make_shared<Twin>();
  std::unique_ptr<SequenceModel> net_;
  std::vector<torch::Tensor> params_;
  std::unique_ptr<HostGradientSum> sum_;
  StepOptions options_;
  Batch batch_;
};

TEST_F(TravellingGradients, StartBeforeTheBackwardPassEnds) {
  make(Backend::kFused);
  const auto [during, after] = started();
  EXPECT_GE(during, 3);
  EXPECT_EQ(after, 0);
}

TEST_F(TravellingGradients, OfAModelThatDoesNotReportThemStartAtTheEnd) {
  make(Backend::kPlain);
  const auto [during, after] = started();
  EXPECT_EQ(during, 0);
  EXPECT_GE(after, 3);
}

TEST_F(TravellingGradients, OfALossOfOnesOwnStartAtTheEnd) {
  options_.loss = [](SequenceModel& net, const Batch& batch, const State& state) {
    return net.loss(batch, state);
  };
  make(Backend::kFused);
  EXPECT_EQ(started().first, 0);
}

TEST_F(TravellingGradients, WithAHookStartAsTheHookGivesThem) {
  make(Backend::kFused);
  params_.back().register_hook([](const torch::Tensor& grad) { return 3 * grad; });
  EXPECT_EQ(started().first, 0);  // it is in the first bucket, and buckets keep their order
}

TEST_F(TravellingGradients, DoNotReachAWeightThatIsFrozenLater) {
  make(Backend::kFused);
  params_.front().set_requires_grad(false);
  const auto loss = begin();
  params_.front().mutable_grad() = torch::zeros_like(params_.front());
  loss.backward();
  const torch::NoGradGuard no_grad;
  sum_->finish();
  EXPECT_TRUE(params_.front().grad().eq(0).all().item<bool>());
}

TEST_F(TravellingGradients, AreReportedOnce) {
  make(Backend::kFused);
  begin();
  const auto report = sum_->on_gradient();
  report(params_.back(), torch::zeros_like(params_.back()));
  EXPECT_EQ(thrown<Error>([&] { report(params_.back(), torch::zeros_like(params_.back())); }),
            "a model reported the gradient by one of its weights twice");
}

TEST_F(TravellingGradients, SayOutOfTheBackwardPassThatARankIsLost) {
  make(Backend::kFused);
  const auto loss = begin();
  twin_->lost_at = 2;
  EXPECT_EQ(thrown<RankLost>([&] { loss.backward(); }), "the other one is gone");
  EXPECT_THAT(thrown<RankLost>([&] { begin(); }), HasSubstr("an earlier step ended"));
}

}  // namespace
}  // namespace unroll
