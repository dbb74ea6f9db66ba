#include <gtest/gtest.h>

#include "support/all_close.h"
#include "support/model_configs.h"
#include "support/thrown.h"
#include "unroll/compute.h"
#include "unroll/error.h"

namespace unroll {
namespace {

constexpr int64_t V = 9, H = 7, B = 3, T = 6;

// The scratch and the concise model of one cell with the same weights, drawn by torch::nn, whose
// two biases are not zero.
class ScratchAndConcise : public ::testing::TestWithParam<Cell> {
 protected:
  void SetUp() override {
    at::manual_seed(3);
    concise = make_model(concise_model, V, torch::kCPU);
    if (GetParam() == Cell::kGru) {
      scratch_model.gru_reset = GruReset::kAfter;
    }
    scratch = make_model(scratch_model, V, torch::kCPU);
    load_weights(*scratch, scratch_weights(concise_model, concise->weights()));
    batch = {torch::randint(V, {B, T}, torch::kInt64), torch::randint(V, {B, T}, torch::kInt64)};
    start = torch::randn({B, H});
  }

  // The same random state for both: {h} or {h, c}.
  State state(const std::vector<int64_t>& shape) const {
    State state{start.reshape(shape)};
    if (GetParam() == Cell::kLstm) {
      state.push_back((start * 2).reshape(shape));
    }
    return state;
  }

  const TestModel concise_model = plain(ModelKind::kConcise, GetParam(), H);
  TestModel scratch_model = plain(ModelKind::kScratch, GetParam(), H);
  std::unique_ptr<SequenceModel> concise;
  std::unique_ptr<SequenceModel> scratch;
  Batch batch;
  torch::Tensor start;
};

TEST_P(ScratchAndConcise, AgreeInLogitsAndStates) {
  const auto [Y, last] = scratch->forward(batch.X, state({B, H}));
  const auto [concise_Y, concise_last] = concise->forward(batch.X, state({1, B, H}));
  EXPECT_TRUE(all_close(Y, concise_Y, 1e-5));
  ASSERT_EQ(last.size(), concise_last.size());
  for (std::size_t i = 0; i < last.size(); ++i) {
    EXPECT_TRUE(all_close(last[i], concise_last[i][0], 1e-5));
  }
}

TEST_P(ScratchAndConcise, AgreeInEveryGradient) {
  scratch->loss(batch, state({B, H})).first.backward();
  concise->loss(batch, state({1, B, H})).first.backward();
  const auto expected = scratch_gradients(concise_model, concise->weights());
  const auto gradients = scratch_gradients(scratch_model, scratch->weights());
  ASSERT_EQ(gradients.size(), expected.size());
  for (const auto& [name, gradient] : gradients) {
    EXPECT_GT(gradient.abs().max().item<double>(), 0) << name;
    EXPECT_TRUE(all_close(gradient, tensor_named(expected, name), 1e-5)) << name;
  }
}

TEST_P(ScratchAndConcise, WeightsOfAnotherModelAreRefused) {
  const bool is_lstm = GetParam() == Cell::kLstm;
  const auto other = plain(ModelKind::kConcise, is_lstm ? Cell::kRnn : Cell::kLstm, H);
  thrown<Error>([&] { scratch_weights(other, concise->weights()); });
  thrown<Error>([&] { scratch_gradients(other, concise->weights()); });
  thrown<Error>([&] { scratch_weights(scratch_model, concise->weights()); });
  thrown<Error>([&] { concise_weights(other.cell, scratch->weights()); });
  thrown<Error>([&] { scratch_weights(concise_model, {}); });
}

TEST_P(ScratchAndConcise, WeightsSurviveTheRoundTrip) {
  // A ReLU bounds no state: smaller weights keep it from growing with each step.
  const double deviation = GetParam() == Cell::kRnnRelu ? 0.4 : 1;
  for (const auto& weight : values(scratch->weights())) {
    weight.data().normal_(0, deviation);
  }
  load_weights(*concise, concise_weights(GetParam(), scratch->weights()));
  const auto back = scratch_weights(concise_model, concise->weights());
  ASSERT_EQ(back.size(), scratch->weights().size());
  for (std::size_t i = 0; i < back.size(); ++i) {
    EXPECT_EQ(back[i].name, scratch->weights()[i].name);
    EXPECT_TRUE(torch::equal(back[i].tensor, scratch->weights()[i].tensor)) << back[i].name;
  }
  EXPECT_TRUE(all_close(scratch->forward(batch.X, scratch->begin_state(B)).first,
                        concise->forward(batch.X, concise->begin_state(B)).first, 1e-5));
}

TEST_P(ScratchAndConcise, AMissingGradientCountsAsZero) {
  for (const auto& [name, gradient] : scratch_gradients(concise_model, concise->weights())) {
    EXPECT_EQ(gradient.abs().sum().item<double>(), 0) << name;
  }
}

INSTANTIATE_TEST_SUITE_P(Cells, ScratchAndConcise,
                         ::testing::Values(Cell::kRnn, Cell::kRnnRelu, Cell::kGru, Cell::kLstm),
                         [](const auto& info) {
                           return name_of(plain(ModelKind::kConcise, info.param, 1));
                         });

TEST(ScratchWeights, NeedOneLayerAndACellOfTorch) {
  auto model = plain(ModelKind::kConcise, Cell::kRnn, 2);
  model.layers = 2;
  const auto net = make_model(model, 3, torch::kCPU);
  thrown<UsageError>([&] { scratch_weights(model, net->weights()); });
  thrown<UsageError>([&] { concise_weights(Cell::kMlp, net->weights()); });
}

}  // namespace
}  // namespace unroll
