// The layers that stand in for torch::nn's, against torch::nn's own.
#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/nn/functional/loss.h>
#include <torch/nn/modules/container/any.h>
#include <torch/nn/modules/linear.h>
#include <torch/optim/adam.h>
#include <torch/serialize.h>

#include <memory>
#include <sstream>
#include <vector>

#include "base/formatted.h"
#include "support/all_close.h"
#include "support/random_values.h"
#include "support/thrown.h"
#include "unroll/error.h"
#include "unroll/fused.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;
using Tensors = std::vector<torch::Tensor>;

// A layer of one kind, ours and torch::nn's.
template <typename OurLayer, typename TorchLayer, typename LayerOptions>
struct Kind {
  using Ours = OurLayer;
  using Theirs = TorchLayer;
  static LayerOptions options(int64_t inputs, int64_t hidden) { return {inputs, hidden}; }
};
struct RnnKind : Kind<FusedRNN, torch::nn::RNN, torch::nn::RNNOptions> {
  static constexpr const char* kName = "RNN";
};
struct ReluKind : RnnKind {
  static torch::nn::RNNOptions options(int64_t inputs, int64_t hidden) {
    return torch::nn::RNNOptions(inputs, hidden).nonlinearity(torch::kReLU);
  }
};
struct GruKind : Kind<FusedGRU, torch::nn::GRU, torch::nn::GRUOptions> {
  static constexpr const char* kName = "GRU";
};
struct LstmKind : Kind<FusedLSTM, torch::nn::LSTM, torch::nn::LSTMOptions> {
  static constexpr const char* kName = "LSTM";
};

// The output, then the states, from these states or from zeros.
template <typename Layer>
Tensors outputs(Layer& layer, const torch::Tensor& x, const State& state = {}) {
  if constexpr (std::is_same_v<decltype(layer->options), torch::nn::LSTMOptions>) {
    auto [y, last] = state.empty() ? layer->forward(x)
                                   : layer->forward(x, std::make_tuple(state.at(0), state.at(1)));
    return {y, std::get<0>(last), std::get<1>(last)};
  } else {
    auto [y, last] = state.empty() ? layer->forward(x) : layer->forward(x, state.at(0));
    return {y, last};
  }
}

// A number that depends on every output.
torch::Tensor objective(const Tensors& of) {
  torch::Tensor sum = torch::zeros({}, of.front().options());
  for (const auto& t : of) {
    const auto factors = torch::linspace(-1, 1, t.numel(), t.options()).view(t.sizes());
    sum = sum + (t * factors).sum();
  }
  return sum;
}

template <typename LayerKind>
class FusedLayers : public ::testing::Test {
 protected:
  static constexpr int64_t T = 4, B = 3, kInputs = 5, kHidden = 7;

  static auto options() { return LayerKind::options(kInputs, kHidden); }
  static std::size_t state_count() { return std::string(LayerKind::kName) == "LSTM" ? 2 : 1; }

  // Ours with the same parameters as theirs.
  template <typename Options>
  static typename LayerKind::Ours like(typename LayerKind::Theirs& theirs, const Options& options) {
    typename LayerKind::Ours ours(options);
    const torch::NoGradGuard no_grad;
    auto own = ours->named_parameters();
    for (const auto& item : theirs->named_parameters()) {
      own[item.key()].copy_(item.value());
    }
    return ours;
  }

  static State random_state(int64_t layers, int64_t batch_size, int64_t hidden = kHidden) {
    State state(state_count());
    for (auto& s : state) {
      s = (torch::randn({layers, batch_size, hidden}) * 0.5).requires_grad_();
    }
    return state;
  }

  // By the input, the states and all parameters.
  template <typename Layer>
  static Tensors gradients(Layer& layer, const torch::Tensor& x, const State& state) {
    Tensors by{x};
    by.insert(by.end(), state.begin(), state.end());
    for (const auto& p : layer->parameters()) {
      by.push_back(p);
    }
    return torch::autograd::grad({objective(outputs(layer, x, state))}, by);
  }

  template <typename Options>
  static void expect_the_same(const Options& options, int64_t steps = T, int64_t batch_size = B,
                              double tolerance = 2e-5) {
    at::manual_seed(3);
    typename LayerKind::Theirs theirs(options);
    auto ours = like(theirs, options);
    ASSERT_EQ(ours->effective_compute(batch_size).backend, Backend::kFused);
    const int64_t inputs = options.input_size();
    auto x = options.batch_first() ? torch::randn({batch_size, steps, inputs})
                                   : torch::randn({steps, batch_size, inputs});
    x.requires_grad_();
    const auto state = random_state(options.num_layers() * (options.bidirectional() ? 2 : 1),
                                    batch_size, options.hidden_size());
    for (const auto& from : {State{}, state}) {
      at::manual_seed(8);  // dropout's
      const auto actual = outputs(ours, x, from);
      at::manual_seed(8);
      const auto expected = outputs(theirs, x, from);
      ASSERT_EQ(actual.size(), expected.size());
      for (std::size_t i = 0; i < actual.size(); ++i) {
        EXPECT_TRUE(all_close(actual[i], expected[i], tolerance)) << "output " << i;
      }
    }
    at::manual_seed(8);
    const auto actual = gradients(ours, x, state);
    at::manual_seed(8);
    const auto expected = gradients(theirs, x, state);
    ASSERT_EQ(actual.size(), expected.size());
    for (std::size_t i = 0; i < actual.size(); ++i) {
      EXPECT_EQ(actual[i].sizes(), expected[i].sizes());
      EXPECT_LT(distance(actual[i], expected[i]), tolerance) << "gradient " << i;
    }
  }
};

struct KindName {
  template <typename LayerKind>
  static std::string GetName(int /*unused*/) {
    return std::is_same_v<LayerKind, ReluKind> ? "Relu" : LayerKind::kName;
  }
};
using Kinds = ::testing::Types<RnnKind, ReluKind, GruKind, LstmKind>;
TYPED_TEST_SUITE(FusedLayers, Kinds, KindName);

TYPED_TEST(FusedLayers, GiveTheOutputsStatesAndGradientsOfTorchsForEveryOption) {
  for (const int64_t layers : {1, 3}) {
    for (const bool bias : {true, false}) {
      for (const bool batch_first : {false, true}) {
        for (const bool bidirectional : {false, true}) {
          for (const double dropout : {0.0, 0.4}) {
            if (dropout > 0 && layers == 1) {
              continue;  // LibTorch warns that this drops nothing
            }
            SCOPED_TRACE(
                formatted("{} layers, bias {}, batch_first {}, bidirectional {}, dropout {}",
                          layers, bias, batch_first, bidirectional, dropout));
            auto options = TestFixture::options();
            options.num_layers(layers).bias(bias).batch_first(batch_first);
            options.bidirectional(bidirectional).dropout(dropout);
            TestFixture::expect_the_same(options);
          }
        }
      }
    }
  }
}

TYPED_TEST(FusedLayers, AreTorchsAtEverySize) {
  for (const auto& [steps, batch_size, inputs, hidden] : std::vector<std::array<int64_t, 4>>{
           {1, 1, 1, 1}, {7, 1, 3, 16}, {1, 33, 40, 18}, {5, 20, 130, 65}, {35, 32, 64, 96}}) {
    SCOPED_TRACE(formatted("T {} B {} inputs {} H {}", steps, batch_size, inputs, hidden));
    auto options = TypeParam::options(inputs, hidden);
    TestFixture::expect_the_same(options, steps, batch_size);
    options.num_layers(2);
    TestFixture::expect_the_same(options, steps, batch_size);
  }
}

TYPED_TEST(FusedLayers, AreTorchsWithoutGradients) {
  auto options = TestFixture::options();
  options.num_layers(2);
  typename TypeParam::Theirs theirs(options);
  auto ours = TestFixture::like(theirs, options);
  const auto x = torch::randn({this->T, this->B, this->kInputs});
  const auto state = TestFixture::random_state(2, this->B);
  TestFixture::gradients(ours, x.clone().requires_grad_(), state);  // whose memory comes back
  const torch::NoGradGuard no_grad;
  const auto actual = outputs(ours, x, state);
  const auto expected = outputs(theirs, x, state);
  for (std::size_t i = 0; i < actual.size(); ++i) {
    EXPECT_FALSE(actual[i].requires_grad());
    EXPECT_TRUE(all_close(actual[i], expected[i], 1e-5)) << i;
  }
}

TYPED_TEST(FusedLayers, ReadStatesAndGradientsThatAreNotContiguous) {
  // Units in whole blocks, whose gradient is read where it is, if it lies well
  const auto options = TypeParam::options(5, 32);
  typename TypeParam::Theirs theirs(options);
  auto ours = TestFixture::like(theirs, options);
  const auto x = torch::randn({4, 3, 5}).requires_grad_();
  State state(TestFixture::state_count());
  for (auto& s : state) {
    s = torch::randn({1, 1, 32}).expand({1, 3, 32});
  }
  const auto odd = torch::randn({4 * 3 * 32 + 1});
  for (const auto& upstream :
       {torch::randn({3, 4, 32}).transpose(0, 1), odd.narrow(0, 1, 4 * 3 * 32).view({4, 3, 32}),
        odd.narrow(0, 0, 4 * 3 * 32).view({4, 3, 32})}) {
    const auto by_input = [&](auto& layer) {
      return torch::autograd::grad({outputs(layer, x, state)[0]}, {x}, {upstream})[0];
    };
    EXPECT_LT(distance(by_input(ours), by_input(theirs)), 1e-5);
  }
}

TYPED_TEST(FusedLayers, HaveAnyNumberOfGraphsAtOnce) {
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

TYPED_TEST(FusedLayers, MayGoBeforeTheirGraph) {
  const auto x = torch::randn({this->T, this->B, this->kInputs}).requires_grad_();
  torch::Tensor y;
  {
    typename TypeParam::Ours layer(TestFixture::options());
    y = objective(outputs(layer, x));
  }
  EXPECT_GT(torch::autograd::grad({y}, {x})[0].count_nonzero().template item<int64_t>(), 0);
}

TYPED_TEST(FusedLayers, FollowTheirOptionsAsTorchsDo) {
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

TYPED_TEST(FusedLayers, BeginWithTorchsParameters) {
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

TYPED_TEST(FusedLayers, StateDictsGoBothWays) {
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

TYPED_TEST(FusedLayers, AreClonedWithTheirComputeAndWhatIsTrained) {
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

TYPED_TEST(FusedLayers, ArePartsOfModulesThatAreClonedAndMoved) {
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

TYPED_TEST(FusedLayers, TakeTheShapeOfWhatTheyAreClonedFrom) {
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

TYPED_TEST(FusedLayers, AreAnyModuleWithAndWithoutStates) {
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

TYPED_TEST(FusedLayers, AreDifferentiatedAgainWhereTheGraphIsKept) {
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

TYPED_TEST(FusedLayers, HaveNoSecondDerivatives) {
  typename TypeParam::Ours layer(TestFixture::options());
  const auto x = torch::randn({this->T, this->B, this->kInputs}).requires_grad_();
  const auto y = objective(outputs(layer, x));
  EXPECT_THAT(thrown<Error>([&] {
                torch::autograd::grad({y}, {x}, {}, /*retain_graph=*/true, /*create_graph=*/true);
              }),
              HasSubstr("no second derivatives"));
}

TYPED_TEST(FusedLayers, NoticeThatAParameterWasChangedBeforeTheWayBack) {
  typename TypeParam::Ours layer(TestFixture::options());
  const auto y = objective(outputs(layer, torch::randn({this->T, this->B, this->kInputs})));
  {
    const torch::NoGradGuard no_grad;
    layer->parameters()[0].add_(1);
  }
  EXPECT_THAT(thrown<c10::Error>([&] { y.backward(); }), HasSubstr("inplace operation"));
}

TYPED_TEST(FusedLayers, GiveTheInputsGradientWhereParametersAreFrozen) {
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

TYPED_TEST(FusedLayers, AreDifferentiatedByTheLastStateAlone) {
  typename TypeParam::Theirs theirs(TestFixture::options());
  auto ours = TestFixture::like(theirs, TestFixture::options());
  const auto x = torch::randn({this->T, this->B, this->kInputs}).requires_grad_();
  const auto by_state = [&](auto& layer) {
    return torch::autograd::grad({objective({outputs(layer, x)[1]})}, {x})[0];
  };
  EXPECT_LT(distance(by_state(ours), by_state(theirs)), 1e-5);
}

TYPED_TEST(FusedLayers, TakeAnotherShapeAtEachCall) {
  typename TypeParam::Theirs theirs(TestFixture::options());
  auto ours = TestFixture::like(theirs, TestFixture::options());
  for (const auto& [steps, batch_size] : {std::pair{4, 3}, {9, 1}, {2, 20}, {4, 3}}) {
    const auto x = torch::randn({steps, batch_size, this->kInputs}).requires_grad_();
    const auto state = TestFixture::random_state(1, batch_size);
    const auto actual = TestFixture::gradients(ours, x, state);
    const auto expected = TestFixture::gradients(theirs, x, state);
    for (std::size_t i = 0; i < actual.size(); ++i) {
      EXPECT_LT(distance(actual[i], expected[i]), 2e-5) << i;
    }
  }
}

TYPED_TEST(FusedLayers, TakeInputsThatAreNotContiguous) {
  typename TypeParam::Ours layer(TestFixture::options());
  const auto wide = torch::randn({this->kInputs, this->B, 2 * this->T});
  const auto x = wide.permute({2, 1, 0}).slice(0, 0, std::nullopt, 2);
  ASSERT_FALSE(x.is_contiguous());
  EXPECT_TRUE(outputs(layer, x)[0].equal(outputs(layer, x.contiguous())[0]));
}

TYPED_TEST(FusedLayers, DropNothingWhereTheyDoNotTrain) {
  auto options = TestFixture::options();
  options.num_layers(2).dropout(0.9);
  typename TypeParam::Ours layer(options);
  layer->eval();
  const auto x = torch::randn({this->T, this->B, this->kInputs});
  EXPECT_TRUE(outputs(layer, x)[0].equal(outputs(layer, x)[0]));
  layer->train();
  EXPECT_FALSE(outputs(layer, x)[0].equal(outputs(layer, x)[0]));
}

TYPED_TEST(FusedLayers, LeaveToTorchWhatNoKernelServes) {
  auto options = TestFixture::options();
  options.num_layers(2).dropout(1);  // nothing of the first layer is left
  typename TypeParam::Ours layer(options);
  const auto y = outputs(layer, torch::randn({this->T, this->B, this->kInputs}))[0];
  EXPECT_TRUE(y.isfinite().all().template item<bool>());
  EXPECT_EQ(layer->effective_compute(this->B).backend, Backend::kPlain);
  EXPECT_THAT(thrown<c10::Error>([&] {
                outputs(layer, torch::zeros({0, this->B, this->kInputs}));
              }),
              HasSubstr("sequence length"));
}

TYPED_TEST(FusedLayers, RefuseAGeneratorThatDropoutWouldNotDrawFrom) {
  auto options = TestFixture::options();
  options.num_layers(2).dropout(0.5);
  const auto generator = at::make_generator<at::CPUGeneratorImpl>(3);
  const auto x = torch::randn({this->T, this->B, this->kInputs});
  typename TypeParam::Ours ours(options, Compute{.generator = generator});
  at::manual_seed(3);
  outputs(ours, x);
  EXPECT_TRUE(torch::rand({3}).equal([] {
    at::manual_seed(3);
    return torch::rand({3});
  }()));  // the default one is where it was
  typename TypeParam::Ours plain(options,
                                 Compute{.backend = Backend::kPlain, .generator = generator});
  EXPECT_THAT(thrown<Error>([&] { outputs(plain, x); }), HasSubstr("instead of the layer's own"));
  plain->eval();
  outputs(plain, x);
}

TYPED_TEST(FusedLayers, HaveAPrecisionByTheKernelsAlone) {
  EXPECT_EQ(thrown<UsageError>([&] {
              typename TypeParam::Ours(
                  TestFixture::options(),
                  Compute{.backend = Backend::kPlain, .precision = Precision::kBf16});
            }),
            "precision bf16 is our kernels', got compute plain");
}

TYPED_TEST(FusedLayers, GiveTheSameBitsForAnyNumberOfThreads) {
  auto options = TypeParam::options(20, 130);
  options.bidirectional(true);
  typename TypeParam::Ours layer(options);
  const auto x = torch::randn({6, 17, 20}).requires_grad_();
  const auto state = TestFixture::random_state(2, 17, 130);
  const int threads = at::get_num_threads();
  at::set_num_threads(1);
  const auto alone = TestFixture::gradients(layer, x, state);
  at::set_num_threads(2);
  const auto both = TestFixture::gradients(layer, x, state);
  at::set_num_threads(threads);
  for (std::size_t i = 0; i < alone.size(); ++i) {
    EXPECT_TRUE(both[i].equal(alone[i])) << i;
  }
}

TYPED_TEST(FusedLayers, InBf16Too) {
  for (const auto precision : {Precision::kBf16x3, Precision::kBf16}) {
    auto options = TestFixture::options();
    options.num_layers(2).bidirectional(true);
    typename TypeParam::Theirs theirs(options);
    typename TypeParam::Ours ours(options, Compute{.precision = precision});
    std::stringstream file;
    torch::save(theirs, file);
    torch::load(ours, file);
    const auto x = torch::randn({this->T, this->B, this->kInputs});
    if (!is_supported(precision)) {
      EXPECT_THAT(thrown<Error>([&] { outputs(ours, x); }), HasSubstr("needs a CPU with AMX"));
      continue;
    }
    EXPECT_EQ(ours->effective_compute(this->B).precision, precision);
    const double tolerance = precision == Precision::kBf16 ? 2e-2 : 1e-4;
    EXPECT_LT(distance(outputs(ours, x)[0], outputs(theirs, x)[0]), tolerance);
    const auto input = x.clone().requires_grad_();
    const auto state = TestFixture::random_state(4, this->B);
    const auto actual = TestFixture::gradients(ours, input, state);
    const auto expected = TestFixture::gradients(theirs, input, state);
    for (std::size_t i = 0; i < actual.size(); ++i) {
      // A ReLU's slope jumps where a sum near 0 is rounded to the other side.
      const double jumps = std::is_same_v<TypeParam, ReluKind> ? 20 : 2;
      EXPECT_LT(distance(actual[i], expected[i]), jumps * tolerance) << i;
    }
  }
}

TYPED_TEST(FusedLayers, ArePrintedAsTorchsUnderTheirOwnName) {
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

TYPED_TEST(FusedLayers, SayWhatDoesNotFit) {
  typename TypeParam::Ours layer(TestFixture::options());
  const auto message = [&](const torch::Tensor& x, const State& state = {}) {
    return thrown<Error>([&] { outputs(layer, x, state); });
  };
  EXPECT_EQ(message(torch::zeros({4, 3, 6})), "the input must have shape [T, B, 5], got [4, 3, 6]");
  EXPECT_EQ(message(torch::zeros({4, 5})), "the input must have shape [T, B, 5], got [4, 5]");
  State state(this->state_count(), torch::zeros({2, 3, 7}));
  EXPECT_EQ(message(torch::zeros({4, 3, 5}), state),
            "a state must have shape [1, 3, 7], got [2, 3, 7]");
  const auto packed = torch::nn::utils::rnn::pack_padded_sequence(
      torch::zeros({4, 3, 5}), torch::tensor(std::vector<int64_t>{4, 2, 1}));
  EXPECT_EQ(thrown<UsageError>([&] { layer->forward_with_packed_input(packed); }),
            formatted("Fused{0} takes no packed sequences; pad them, or take torch::nn::{0}",
                      TypeParam::kName));
}

TEST(FusedLSTMLayer, HasNoProjection) {
  EXPECT_EQ(thrown<UsageError>([] { FusedLSTM(torch::nn::LSTMOptions(4, 6).proj_size(3)); }),
            "FusedLSTM has no proj_size, got 3; take torch::nn::LSTM");
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

TYPED_TEST(FusedLayers, LearnWhatNeedsMemory) {
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
