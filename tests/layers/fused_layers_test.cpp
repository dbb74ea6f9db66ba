// What the layers compute, against torch::nn's own.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <torch/serialize.h>

#include <array>
#include <sstream>

#include "base/formatted.h"
#include "layers/layer_kinds.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

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

}  // namespace
}  // namespace unroll
