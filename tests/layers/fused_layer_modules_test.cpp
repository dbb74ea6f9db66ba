// The layers as modules: files, clones, parents, optimisers, printing.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/container/any.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>
#include <torch/serialize.h>

#include <memory>
#include <sstream>

#include "base/formatted.h"
#include "layers/layer_kinds.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

template <typename LayerKind>
class FusedLayerModules : public FusedLayers<LayerKind> {};
TYPED_TEST_SUITE(FusedLayerModules, Kinds, KindName);

TYPED_TEST(FusedLayerModules, BeginWithTorchsParameters) {
  auto options = TestFixture::options();
  options.num_layers(2).bidirectional(true);
  at::manual_seed(5);
  typename TypeParam::Theirs theirs(options);
  at::manual_seed(5);
  typename TypeParam::Ours ours(options);
  const auto expected = theirs->named_parameters();
  const auto actual = ours->named_parameters();
  ASSERT_EQ(actual.keys(), expected.keys());
  for (const auto& name : expected.keys()) {
    EXPECT_TRUE(actual[name].equal(expected[name])) << name;
  }
}

TYPED_TEST(FusedLayerModules, StateDictsGoBothWays) {
  typename TypeParam::Theirs theirs(TestFixture::options());
  typename TypeParam::Ours ours(TestFixture::options());
  const auto x = torch::randn({this->T, this->B, this->kInputs});
  std::stringstream file;
  torch::save(theirs, file);
  torch::load(ours, file);
  EXPECT_TRUE(all_close(outputs(ours, x)[0], outputs(theirs, x)[0], 1e-6));
  typename TypeParam::Ours other(TestFixture::options());
  std::stringstream back;
  torch::save(other, back);
  torch::load(theirs, back);
  EXPECT_TRUE(all_close(outputs(theirs, x)[0], outputs(other, x)[0], 1e-6));
}

TYPED_TEST(FusedLayerModules, AreClonedWithTheirComputeAndWhatIsTrained) {
  auto options = TestFixture::options();
  options.num_layers(2);
  typename TypeParam::Ours layer(options, Compute{.backend = Backend::kPlain});
  layer->parameters()[1].set_requires_grad(false);
  layer->eval();
  const auto copy =
      std::dynamic_pointer_cast<typename TypeParam::Ours::ContainedType>(layer->clone());
  ASSERT_TRUE(copy);
  EXPECT_FALSE(copy->is_training());
  EXPECT_EQ(copy->effective_compute(1).backend, Backend::kPlain);
  ASSERT_EQ(copy->parameters().size(), 8);
  for (std::size_t i = 0; i < 8; ++i) {
    const auto own = layer->parameters()[i];
    const auto copied = copy->parameters()[i];
    EXPECT_TRUE(copied.equal(own));
    EXPECT_NE(copied.data_ptr(), own.data_ptr());
    EXPECT_EQ(copied.requires_grad(), own.requires_grad());
  }
}

// A module of a user's own, which is cloned as torch::nn clones.
template <typename Layer>
struct TaggerImpl : torch::nn::Cloneable<TaggerImpl<Layer>> {
  TaggerImpl() { reset(); }
  void reset() override {
    layer = this->register_module("layer", Layer(5, 7));
    output = this->register_module("output", torch::nn::Linear(7, 2));
  }
  torch::Tensor forward(const torch::Tensor& x) {
    return output->forward(std::get<0>(layer->forward(x)));
  }
  Layer layer = nullptr;
  torch::nn::Linear output = nullptr;
};

TYPED_TEST(FusedLayerModules, ArePartsOfModulesThatAreClonedAndMoved) {
  using Tagger = TaggerImpl<typename TypeParam::Ours>;
  Tagger tagger;
  const auto x = torch::randn({this->T, this->B, 5});
  const auto copy = std::dynamic_pointer_cast<Tagger>(tagger.clone());
  EXPECT_EQ(copy->named_parameters().keys(), tagger.named_parameters().keys());
  const auto expected = tagger.forward(x);
  EXPECT_TRUE(copy->forward(x).equal(expected));
  {
    const torch::NoGradGuard no_grad;
    for (auto& p : tagger.parameters()) {
      p.zero_();
    }
  }
  EXPECT_TRUE(copy->forward(x).equal(expected));  // it is nobody else's
  copy->to(torch::kFloat64);                      // which no kernel serves
  EXPECT_EQ(copy->layer->effective_compute(this->B).backend, Backend::kPlain);
  EXPECT_TRUE(all_close(copy->forward(x.to(torch::kFloat64)), expected.to(torch::kFloat64), 1e-6));
}

TYPED_TEST(FusedLayerModules, TakeTheShapeOfWhatTheyAreClonedFrom) {
  TaggerImpl<typename TypeParam::Ours> tagger;
  auto options = TypeParam::options(5, 7);
  options.num_layers(2);
  tagger.layer = typename TypeParam::Ours(options);
  tagger.replace_module("layer", tagger.layer);  // not what reset() makes
  const auto copy = std::dynamic_pointer_cast<TaggerImpl<typename TypeParam::Ours>>(tagger.clone());
  const auto x = torch::randn({this->T, this->B, 5});
  EXPECT_EQ(outputs(copy->layer, x)[1].size(0), 2);
  EXPECT_TRUE(copy->forward(x).equal(tagger.forward(x)));
}

TYPED_TEST(FusedLayerModules, AreAnyModuleWithAndWithoutStates) {
  typename TypeParam::Ours layer(TestFixture::options());
  torch::nn::AnyModule any(layer);
  const auto x = torch::randn({this->T, this->B, this->kInputs});
  const auto state = TestFixture::random_state(1, this->B);
  const auto expected = outputs(layer, x)[0];
  const auto from_state = outputs(layer, x, state)[0];
  if constexpr (std::is_same_v<TypeParam, LstmKind>) {
    using States = std::tuple<torch::Tensor, torch::Tensor>;
    using Result = std::tuple<torch::Tensor, States>;
    EXPECT_TRUE(std::get<0>(any.forward<Result>(x)).equal(expected));
    const std::optional<States> hx(States(state.at(0), state.at(1)));
    EXPECT_TRUE(std::get<0>(any.forward<Result>(x, hx)).equal(from_state));
  } else {
    using Result = std::tuple<torch::Tensor, torch::Tensor>;
    EXPECT_TRUE(std::get<0>(any.forward<Result>(x)).equal(expected));
    EXPECT_TRUE(std::get<0>(any.forward<Result>(x, state.at(0))).equal(from_state));
  }
}

TYPED_TEST(FusedLayerModules, FollowTheirOptionsAsTorchsDo) {
  auto options = TestFixture::options();
  options.num_layers(2).dropout(0.5);
  typename TypeParam::Ours layer(options);
  const auto x = torch::randn({this->T, this->B, this->kInputs});
  EXPECT_FALSE(outputs(layer, x)[0].equal(outputs(layer, x)[0]));
  layer->options_base.dropout(0);
  EXPECT_TRUE(outputs(layer, x)[0].equal(outputs(layer, x)[0]));
  layer->options_base.batch_first(true);
  const auto batch_first = x.transpose(0, 1);
  const auto copy =
      std::dynamic_pointer_cast<typename TypeParam::Ours::ContainedType>(layer->clone());
  typename TypeParam::Ours cloned(copy);
  EXPECT_EQ(outputs(cloned, batch_first)[0].sizes(),
            (std::vector<int64_t>{this->B, this->T, this->kHidden}));
  EXPECT_TRUE(outputs(cloned, batch_first)[0].equal(outputs(layer, batch_first)[0]));
}

TYPED_TEST(FusedLayerModules, ArePrintedAsTorchsUnderTheirOwnName) {
  auto options = TypeParam::options(128, 64);
  options.num_layers(3).dropout(0.2);
  std::stringstream ours;
  ours << typename TypeParam::Ours(options);
  std::stringstream theirs;
  theirs << typename TypeParam::Theirs(options);
  EXPECT_EQ("torch::nn::" + ours.str().substr(std::string("unroll::Fused").size()), theirs.str());
  EXPECT_THAT(ours.str(), HasSubstr(formatted("unroll::Fused{}(input_size=128, hidden_size=64, "
                                              "num_layers=3",
                                              TypeParam::kName)));
}

// Mean loss over the last of `steps` steps of Adam, of which each has a batch of its own.
template <typename Model, typename DrawBatch>
double trained(Model& model, const DrawBatch& draw_batch, int steps) {
  torch::optim::Adam optimizer(model.parameters(), torch::optim::AdamOptions(1e-2));
  double last = 0;
  for (int n = 0; n < steps; ++n) {
    const auto [x, y] = draw_batch();
    optimizer.zero_grad();
    const auto loss = torch::nn::functional::mse_loss(model.forward(x).select(-1, 0), y);
    loss.backward();
    optimizer.step();
    last = n < steps - 10 ? 0 : last + loss.template item<double>() / 10;
  }
  return last;
}

TYPED_TEST(FusedLayerModules, LearnWhatNeedsMemory) {
  at::manual_seed(1);
  TaggerImpl<typename TypeParam::Ours> model;
  // The first input of three steps before, which is 1 in a fifth of all places.
  const auto draw = [&] {
    const auto x = (torch::rand({12, 32, 5}) < 0.2).to(torch::kFloat32);
    auto y = torch::zeros({12, 32});
    y.narrow(0, 3, 9).copy_(x.select(2, 0).narrow(0, 0, 9));
    return std::pair{x, y};
  };
  constexpr double kWithoutMemory = 0.16 * 9 / 12;  // its variance
  EXPECT_LT(trained(model, draw, 250), 0.2 * kWithoutMemory);
}

}  // namespace
}  // namespace unroll
