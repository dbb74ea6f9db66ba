#include "train/device_gradient_sum.h"

#include <gtest/gtest.h>

#include <limits>
#include <memory>
#include <vector>

#include "support/rank_threads.h"
#include "train/sum_by_hosts.h"

namespace unroll {
namespace {

class DeviceGradients : public ::testing::Test {
 protected:
  // Weights whose gradients are `value`; the last one has none.
  static std::vector<torch::Tensor> params(double value) {
    std::vector<torch::Tensor> all;
    for (const auto type : {torch::kFloat64, torch::kFloat32, torch::kFloat64}) {
      all.push_back(torch::zeros({3, 2}, type).set_requires_grad(true));
      all.back().mutable_grad() = torch::full_like(all.back(), value);
    }
    all.back().mutable_grad().reset();
    return all;
  }
};

TEST_F(DeviceGradients, CountByTheLabelsOfTheirRank) {
  run_ranks(2, [&](const auto& ranks) {
    const auto weights = params(ranks->rank() + 1);
    DeviceGradientSum sum(std::make_unique<SumByHosts>(ranks), ranks, weights);
    // Rank 0 has 4 labels, rank 1 has 1.
    const auto labels = torch::arange(4).view({1, 4}).clone();
    if (ranks->rank() == 1) {
      labels.narrow(1, 0, 3).fill_(-100);
    }
    sum.before_step(labels.numel());
    sum.begin(torch::tensor(ranks->rank() == 0 ? 1.0 : 4.0), labels);
    const auto whole = sum.finish();
    EXPECT_EQ(whole.tokens, 8);
    EXPECT_EQ(whole.loss.scalar_type(), torch::kFloat32);
    EXPECT_FLOAT_EQ(whole.loss.template item<float>(), (4 * 1.0 + 1 * 4.0) / 5);
    for (std::size_t i = 0; i < 2; ++i) {
      const auto expected = torch::full_like(weights[i], (4 * 1.0 + 1 * 2.0) / 5);
      EXPECT_TRUE(weights[i].grad().allclose(expected)) << i;
    }
    EXPECT_FALSE(weights[2].grad().defined());
  });
}

TEST_F(DeviceGradients, OfNoLabelCountForNothing) {
  run_ranks(2, [&](const auto& ranks) {
    const double nan = std::numeric_limits<double>::quiet_NaN();
    const auto weights = params(ranks->rank() == 0 ? 3 : nan);
    DeviceGradientSum sum(std::make_unique<SumByHosts>(ranks), ranks, weights);
    sum.before_step(2);
    sum.begin(torch::tensor(ranks->rank() == 0 ? 2.0 : nan),
              torch::full({1, 2}, ranks->rank() == 0 ? 1 : -100, torch::kInt64));
    EXPECT_EQ(sum.finish().loss.template item<float>(), 2);
    EXPECT_TRUE(weights[0].grad().allclose(torch::full_like(weights[0], 3)));
  });
}

TEST_F(DeviceGradients, ARowOfZerosIsLikeTheOneThatTravels) {
  for (const auto type : {torch::kFloat16, torch::kFloat32, torch::kFloat64}) {
    const auto alone = std::make_shared<Ranks>();
    const std::vector<torch::Tensor> weights{torch::ones({3, 2}, type)};
    auto own_sum = std::make_unique<SumByHosts>(alone);
    const auto& device = *own_sum;
    DeviceGradientSum sum(std::move(own_sum), alone, weights);
    const auto loss_type = type == torch::kFloat64 ? torch::kFloat64 : torch::kFloat32;
    sum.begin(torch::tensor(1.0, loss_type), torch::ones({1, 2}, torch::kInt64));
    sum.finish();
    EXPECT_TRUE(DeviceGradientSum::zero_row(weights).equal(torch::zeros_like(device.last)));
  }
}

TEST_F(DeviceGradients, AreWaitedForOnce) {
  run_ranks(2, [&](const auto& ranks) {
    auto own_sum = std::make_unique<SumByHosts>(ranks);
    const auto& device = *own_sum;
    DeviceGradientSum sum(std::move(own_sum), ranks, params(1));
    sum.wait();
    EXPECT_EQ(device.waits, 0);
    for (int step = 1; step <= 3; ++step) {
      sum.before_step(1);
      sum.after_step();
      EXPECT_EQ(device.steps, step);
    }
    EXPECT_EQ(device.waits, 0);
    sum.wait();
    sum.wait();
    EXPECT_EQ(device.waits, 1);
  });
}

}  // namespace
}  // namespace unroll
