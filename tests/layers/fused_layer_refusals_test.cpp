// What the layers leave to torch::nn, and what they refuse.
#include <ATen/CPUGeneratorImpl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "base/formatted.h"
#include "layers/layer_kinds.h"
#include "support/thrown.h"
#include "unroll/error.h"

namespace unroll {
namespace {

using ::testing::HasSubstr;

template <typename LayerKind>
class FusedLayerRefusals : public FusedLayers<LayerKind> {};
TYPED_TEST_SUITE(FusedLayerRefusals, Kinds, KindName);

TYPED_TEST(FusedLayerRefusals, LeaveToTorchWhatNoKernelServes) {
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

TYPED_TEST(FusedLayerRefusals, RefuseAGeneratorThatDropoutWouldNotDrawFrom) {
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

TYPED_TEST(FusedLayerRefusals, HaveAPrecisionByTheKernelsAlone) {
  EXPECT_EQ(thrown<UsageError>([&] {
              typename TypeParam::Ours(
                  TestFixture::options(),
                  Compute{.backend = Backend::kPlain, .precision = Precision::kBf16});
            }),
            "precision bf16 is our kernels', got compute plain");
}

TYPED_TEST(FusedLayerRefusals, SayWhatDoesNotFit) {
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

}  // namespace
}  // namespace unroll
