#pragma once

#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/types.h>

#include <string>
#include <type_traits>
#include <vector>

#include "support/all_close.h"
#include "support/random_values.h"
#include "unroll/fused.h"

namespace unroll {

using Tensors = std::vector<torch::Tensor>;

/// A layer of one kind, ours and torch::nn's.
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

/// The output, then the states, from these states or from zeros.
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

/// A number that depends on every output.
inline torch::Tensor objective(const Tensors& of) {
  torch::Tensor sum = torch::zeros({}, of.front().options());
  for (const auto& t : of) {
    const auto factors = torch::linspace(-1, 1, t.numel(), t.options()).view(t.sizes());
    sum = sum + (t * factors).sum();
  }
  return sum;
}

/// A test of each kind.
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

}  // namespace unroll
