// When and by what the layers can be differentiated.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "layers/layer_kinds.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

template <typename LayerKind>
class FusedLayerGraphs : public FusedLayers<LayerKind> {};
TYPED_TEST_SUITE(FusedLayerGraphs, Kinds, KindName);

TYPED_TEST(FusedLayerGraphs, HaveAnyNumberOfGraphsAtOnce) {
  typename TypeParam::Theirs theirs(TestFixture::options());
  auto ours = TestFixture::like(theirs, TestFixture::options());
  const auto x = torch::randn({9, this->B, this->kInputs}).requires_grad_();
  // A step at a time, more of them than there is memory kept for, then back through all
  const auto by_steps = [&](auto& layer) {
    auto state = TestFixture::random_state(1, this->B);
    for (auto& s : state) {
      s = torch::zeros_like(s);
    }
    auto total = torch::zeros({});
    for (int64_t t = 0; t < 9; ++t) {
      const auto results = outputs(layer, x.narrow(0, t, 1), state);
      total = total + objective(results);
      state.assign(results.begin() + 1, results.end());
    }
    return torch::autograd::grad({total}, {x})[0];
  };
  EXPECT_LT(distance(by_steps(ours), by_steps(theirs)), 1e-5);
  // The first first
  const auto first = objective(outputs(ours, x));
  const auto second = 2 * objective(outputs(ours, x));
  const auto by_first = torch::autograd::grad({first}, {x})[0];
  EXPECT_TRUE(torch::autograd::grad({second}, {x})[0].equal(2 * by_first));
}

TYPED_TEST(FusedLayerGraphs, MayGoBeforeTheirGraph) {
  const auto x = torch::randn({this->T, this->B, this->kInputs}).requires_grad_();
  torch::Tensor y;
  {
    typename TypeParam::Ours layer(TestFixture::options());
    y = objective(outputs(layer, x));
  }
  EXPECT_GT(torch::autograd::grad({y}, {x})[0].count_nonzero().template item<int64_t>(), 0);
}

TYPED_TEST(FusedLayerGraphs, AreDifferentiatedAgainWhereTheGraphIsKept) {
  for (const double dropout : {0.0, 0.5}) {
    auto options = TestFixture::options();
    options.num_layers(2).dropout(dropout);
    typename TypeParam::Ours layer(options);
    const auto x = torch::randn({this->T, this->B, this->kInputs}).requires_grad_();
    const auto y = objective(outputs(layer, x));
    const auto once = torch::autograd::grad({y}, {x}, {}, /*retain_graph=*/true)[0];
    const auto other = outputs(layer, torch::randn_like(x));  // takes the memory meanwhile
    const auto again = torch::autograd::grad({y}, {x}, {}, /*retain_graph=*/true)[0];
    EXPECT_TRUE(again.equal(once));
    EXPECT_GT(once.count_nonzero().template item<int64_t>(), 0);
    EXPECT_TRUE(torch::autograd::grad({y}, {x})[0].equal(once));
    EXPECT_THROW(torch::autograd::grad({y}, {x}), std::exception);
  }
}

TYPED_TEST(FusedLayerGraphs, HaveNoSecondDerivatives) {
  typename TypeParam::Ours layer(TestFixture::options());
  const auto x = torch::randn({this->T, this->B, this->kInputs}).requires_grad_();
  const auto y = objective(outputs(layer, x));
  EXPECT_THAT(thrown<Error>([&] {
                torch::autograd::grad({y}, {x}, {}, /*retain_graph=*/true, /*create_graph=*/true);
              }),
              HasSubstr("no second derivatives"));
}

TYPED_TEST(FusedLayerGraphs, NoticeThatAParameterWasChangedBeforeTheWayBack) {
  typename TypeParam::Ours layer(TestFixture::options());
  const auto y = objective(outputs(layer, torch::randn({this->T, this->B, this->kInputs})));
  {
    const torch::NoGradGuard no_grad;
    layer->parameters()[0].add_(1);
  }
  EXPECT_THAT(thrown<c10::Error>([&] { y.backward(); }), HasSubstr("inplace operation"));
}

TYPED_TEST(FusedLayerGraphs, GiveTheInputsGradientWhereParametersAreFrozen) {
  typename TypeParam::Theirs theirs(TestFixture::options());
  auto ours = TestFixture::like(theirs, TestFixture::options());
  for (auto& p : ours->parameters()) {
    p.set_requires_grad(false);
  }
  const auto x = torch::randn({this->T, this->B, this->kInputs}).requires_grad_();
  const auto actual = torch::autograd::grad({objective(outputs(ours, x))}, {x})[0];
  const auto expected = torch::autograd::grad({objective(outputs(theirs, x))}, {x})[0];
  EXPECT_LT(distance(actual, expected), 1e-5);
}

TYPED_TEST(FusedLayerGraphs, AreDifferentiatedByTheLastStateAlone) {
  typename TypeParam::Theirs theirs(TestFixture::options());
  auto ours = TestFixture::like(theirs, TestFixture::options());
  const auto x = torch::randn({this->T, this->B, this->kInputs}).requires_grad_();
  const auto by_state = [&](auto& layer) {
    return torch::autograd::grad({objective({outputs(layer, x)[1]})}, {x})[0];
  };
  EXPECT_LT(distance(by_state(ours), by_state(theirs)), 1e-5);
}

}  // namespace
}  // namespace unroll
