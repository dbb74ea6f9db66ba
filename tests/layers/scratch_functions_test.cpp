#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/types.h>

#include "support/model_configs.h"
#include "support/random_values.h"
#include "support/thrown.h"
#include "unroll/compute.h"
#include "unroll/error.h"
#include "unroll/fused.h"
#include "unroll/scratch.h"

namespace unroll {
namespace {

constexpr double kTolerance = 1e-5;

TEST(FusedForwardFunctions, AreTheScratchModelsToo) {
  for (const auto& model : plain_recurrent_models(23)) {
    if (model.model != ModelKind::kScratch) {
      continue;
    }
    SCOPED_TRACE(name_of(model));
    at::manual_seed(2);
    const auto net = make_model(model, 12, torch::kCPU);
    draw_weights(*net);
    const auto weights = net->weights();
    const ForwardFn forward = fused_forward(model);
    NamedTensors copies;
    for (const auto& [name, weight] : weights) {
      copies.push_back({name, weight.detach().clone().requires_grad_()});
    }
    RNNModelScratch fused(
        12, 23, torch::kCPU, [&](auto...) { return copies; },
        [&](int64_t B, auto...) { return net->begin_state(B); }, forward);
    const auto batch = random_batch({4, 5, 12, 23});
    net->loss(batch, net->begin_state(4)).first.backward();
    fused.loss(batch, fused.begin_state(4)).first.backward();
    for (std::size_t i = 0; i < weights.size(); ++i) {
      EXPECT_LT(distance(copies[i].tensor.grad(), weights[i].tensor.grad()), kTolerance)
          << weights[i].name;
    }
  }
}

TEST(FusedForwardFunctions, GiveTheGradientByTheirInputs) {
  at::manual_seed(1);
  auto params = get_params(6, 10, torch::kCPU);
  auto x = torch::randn({3, 2, 6}).requires_grad_();
  const auto state = init_rnn_state(2, 10, torch::kCPU);
  rnn(x, state, params).first.square().sum().backward();
  const auto expected = x.grad().clone();
  x.mutable_grad().reset();
  fused_forward({})(x, state, params).first.square().sum().backward();
  EXPECT_LT(distance(x.grad(), expected), kTolerance);
}

TEST(FusedForwardFunctions, RefuseWeightsOfAnotherShape) {
  auto params = get_params(6, 10, torch::kCPU);
  const auto state = init_rnn_state(2, 10, torch::kCPU);
  EXPECT_THAT(thrown<Error>([&] {
                fused_forward({})(torch::zeros({3, 2, 5}), state, params);
              }),
              ::testing::HasSubstr("the inputs must have shape [3, 2, 6], got [3, 2, 5]"));
  params[1].tensor = torch::zeros({10, 9});
  EXPECT_THAT(thrown<Error>([&] {
                fused_forward({})(torch::zeros({3, 2, 6}), state, params);
              }),
              ::testing::HasSubstr("a weight must have shape [10, 10], got [10, 9]"));
}

}  // namespace
}  // namespace unroll
