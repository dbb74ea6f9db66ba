// Models in a program's own loop and modules: any torch::optim steps them, and they are saved and
// moved as torch::nn's are, whoever computes them.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adagrad.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/lbfgs.h>
#include <torch/optim/rmsprop.h>
#include <torch/optim/sgd.h>
#include <torch/serialize.h>

#include <memory>
#include <sstream>
#include <string>
#include <utility>
#include <vector>

#include "support/model_configs.h"
#include "unroll/concise.h"
#include "unroll/fused.h"

namespace unroll {
namespace {

struct OptimizerCase {
  std::string name;
  std::function<std::unique_ptr<torch::optim::Optimizer>(std::vector<torch::Tensor>)> make;
};

template <typename Optimizer, typename Options>
OptimizerCase optimizer_case(std::string name, Options options) {
  return {std::move(name), [options](std::vector<torch::Tensor> weights) {
            return std::make_unique<Optimizer>(std::move(weights), options);
          }};
}

std::vector<OptimizerCase> all_optimizers() {
  using namespace torch::optim;  // NOLINT
  return {
      optimizer_case<SGD>("SGD", SGDOptions(0.5).momentum(0.9)),
      optimizer_case<Adam>("Adam", AdamOptions(0.02).amsgrad(true)),
      optimizer_case<AdamW>("AdamW", AdamWOptions(0.02)),
      optimizer_case<Adagrad>("Adagrad", AdagradOptions(0.1)),
      optimizer_case<RMSprop>("RMSprop", RMSpropOptions(0.01)),
      optimizer_case<LBFGS>("LBFGS", LBFGSOptions(1).max_iter(4).line_search_fn("strong_wolfe"))};
}

constexpr int64_t kVocab = 7;

Batch repeated_batch() {
  const auto tokens = torch::arange(40).remainder(kVocab).view({4, 10});
  return {tokens, (tokens + 1).remainder(kVocab)};
}

// The losses of a loop as programs write it.
std::vector<double> own_loop(SequenceModel& net, torch::optim::Optimizer& updater) {
  const auto batch = repeated_batch();
  std::vector<double> losses;
  for (int step = 0; step < 8; ++step) {
    const auto loss = updater.step([&] {
      updater.zero_grad();
      auto nats = net.loss(batch, net.begin_state(4)).first;
      nats.backward();
      return nats;
    });
    losses.push_back(loss.item<double>());
  }
  return losses;
}

class OwnLoop : public ::testing::TestWithParam<TestModel> {};

TEST_P(OwnLoop, AnyOptimizerStepsTheWeights) {
  auto plain = GetParam();
  plain.compute = {.backend = Backend::kPlain};
  for (const auto& [name, make] : all_optimizers()) {
    at::manual_seed(0);
    const auto net = make_model(GetParam(), kVocab, torch::kCPU);
    at::manual_seed(0);
    const auto reference = make_model(plain, kVocab, torch::kCPU);
    const auto updater = make(values(net->weights()));
    const auto reference_updater = make(values(reference->weights()));
    const auto losses = own_loop(*net, *updater);
    const auto expected = own_loop(*reference, *reference_updater);
    EXPECT_LT(losses.back(), losses.front()) << name;
    // Later ones drift apart: a line search that ends one step earlier goes elsewhere.
    EXPECT_NEAR(losses.front(), expected.front(), 1e-5) << name;
    EXPECT_NEAR(losses[1], expected[1], 5e-3) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Models, OwnLoop, ::testing::ValuesIn(fused_recurrent_models(12)),
                         [](const auto& info) { return name_of(info.param); });

// A program's module with a model and a layer of ours.
struct Program : torch::nn::Module {
  std::shared_ptr<RNNModel> net = register_module(
      "net", std::make_shared<RNNModel>(
                 torch::nn::LSTM(torch::nn::LSTMOptions(kVocab, 12).num_layers(2)), kVocab));
  FusedGRU layer = register_module("layer", FusedGRU(kVocab, 5));
  torch::nn::Linear output = register_module("output", torch::nn::Linear(5, 2));

  torch::Tensor forward(const torch::Tensor& X) {
    const auto logits = net->forward(X, net->begin_state(X.size(0))).first;
    return output->forward(std::get<1>(layer->forward(logits.view({X.size(1), X.size(0), -1}))));
  }
};

TEST(OwnModules, AreSavedAndLoadedByTorch) {
  at::manual_seed(0);
  const auto saved = std::make_shared<Program>();
  std::stringstream file;
  torch::save(saved, file);
  auto loaded = std::make_shared<Program>();
  const auto X = repeated_batch().X;
  EXPECT_FALSE(torch::equal(loaded->forward(X), saved->forward(X)));
  torch::load(loaded, file);
  EXPECT_TRUE(torch::equal(loaded->forward(X), saved->forward(X)));
}

TEST(OwnModules, AModelIsSavedByItself) {
  at::manual_seed(0);
  const auto make = [] {
    return std::make_shared<RNNModel>(torch::nn::RNN(torch::nn::RNNOptions(kVocab, 12)), kVocab);
  };
  const auto saved = make();
  std::stringstream file;
  torch::save(saved, file);
  auto loaded = make();
  torch::load(loaded, file);
  EXPECT_TRUE(torch::equal(loaded->forward(repeated_batch().X, loaded->begin_state(4)).first,
                           saved->forward(repeated_batch().X, saved->begin_state(4)).first));
}

TEST(OwnModules, AreMovedAfterTheyWereComputedFused) {
  at::manual_seed(0);
  Program program;
  const auto net = computed_as(program.net, {.backend = Backend::kFused});
  const auto batch = repeated_batch();
  const auto logits = [&] { return net->forward(batch.X, net->begin_state(4)).first; };
  const auto before = logits();
  program.to(torch::kFloat64);
  EXPECT_EQ(net->effective_compute(4).backend, Backend::kPlain);
  EXPECT_EQ(logits().scalar_type(), torch::kFloat64);
  EXPECT_TRUE(torch::allclose(logits().to(torch::kFloat32), before, 1e-4, 1e-6));
  EXPECT_EQ(program.forward(batch.X).scalar_type(), torch::kFloat64);
  program.to(torch::kFloat32);
  EXPECT_EQ(net->effective_compute(4).backend, Backend::kFused);
  EXPECT_TRUE(torch::equal(logits(), before));
}

}  // namespace
}  // namespace unroll
