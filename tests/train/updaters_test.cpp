#include <gtest/gtest.h>
#include <torch/optim/adam.h>
#include <torch/optim/adamw.h>
#include <torch/optim/sgd.h>

#include <cstddef>
#include <functional>
#include <memory>
#include <ostream>
#include <string>
#include <utility>
#include <vector>

#include "support/model_configs.h"
#include "unroll/model.h"
#include "unroll/optim.h"

namespace unroll {
namespace {

// Options, and the optimiser of torch::optim that they stand for.
struct TorchsOwn {
  std::string name;
  UpdaterOptions options;
  std::function<std::unique_ptr<torch::optim::Optimizer>(std::vector<torch::Tensor>)> make;
};

void PrintTo(const TorchsOwn& own, std::ostream* out) { *out << own.name; }

template <typename Optimizer, typename Options>
TorchsOwn torchs_own(std::string name, UpdaterOptions options, Options torchs) {
  return {std::move(name), options, [torchs](std::vector<torch::Tensor> weights) {
            return std::make_unique<Optimizer>(std::move(weights), torchs);
          }};
}

std::vector<TorchsOwn> torchs_optimizers() {
  using namespace torch::optim;
  return {
      torchs_own<SGD>("sgd", {.lr = 0.3}, SGDOptions(0.3)),
      torchs_own<SGD>("sgd_with_momentum", {.lr = 0.3, .momentum = 0.9},
                      SGDOptions(0.3).momentum(0.9)),
      torchs_own<SGD>("sgd_with_weight_decay", {.lr = 0.3, .weight_decay = 0.02},
                      SGDOptions(0.3).weight_decay(0.02)),
      torchs_own<Adam>("adam", {.optimizer = unroll::Optimizer::kAdam, .lr = 0.01},
                       AdamOptions(0.01)),
      torchs_own<AdamW>("adamw", {.optimizer = unroll::Optimizer::kAdamW, .lr = 0.01},
                        AdamWOptions(0.01)),
  };
}

class UpdaterAndTorchsOwn : public ::testing::TestWithParam<TorchsOwn> {};

TEST_P(UpdaterAndTorchsOwn, MoveTheWeightsToTheSameBits) {
  for (const auto kind : {ModelKind::kScratch, ModelKind::kConcise}) {
    const auto model = plain(kind, Cell::kGru, 11);
    const auto net = make_model(model, 7, torch::kCPU);
    const auto other = make_model(model, 7, torch::kCPU);
    load_weights(*other, net->weights());
    const auto updater = make_updater(*net, GetParam().options);
    const auto expected = values(other->weights());
    const auto optimizer = GetParam().make(expected);
    at::manual_seed(3);
    for (int step = 0; step < 4; ++step) {
      const auto weights = values(net->weights());
      for (std::size_t i = 0; i < weights.size(); ++i) {
        weights[i].mutable_grad() = torch::randn_like(weights[i]);
        expected[i].mutable_grad() = weights[i].grad().clone();
      }
      updater->step();
      optimizer->step();
      for (std::size_t i = 0; i < weights.size(); ++i) {
        ASSERT_TRUE(torch::equal(weights[i], expected[i])) << "step " << step << ", weight " << i;
      }
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Optimizers, UpdaterAndTorchsOwn, ::testing::ValuesIn(torchs_optimizers()),
                         [](const auto& info) { return info.param.name; });

}  // namespace
}  // namespace unroll
