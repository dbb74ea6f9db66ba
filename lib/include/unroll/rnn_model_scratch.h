#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <utility>

#include "unroll/model.h"

namespace unroll {

/// (V, H, device) -> parameters.
using GetParams = std::function<NamedTensors(int64_t, int64_t, torch::Device)>;
/// (B, H, device) -> the state before the first token.
using InitState = std::function<State(int64_t, int64_t, torch::Device)>;
/// (inputs (T,B,V), state, parameters) -> outputs (T*B,V) and the new state.
using ForwardFn = std::function<std::pair<torch::Tensor, State>(const torch::Tensor&, const State&,
                                                                const NamedTensors&)>;

/// A model from scratch: raw parameter tensors and three functions, so that any cell fits.
///
///     RNNModelScratch net(vocab.size(), 512, device, get_params, init_rnn_state, rnn);
///     auto [Y, state] = net.forward(X, net.begin_state(X.size(0)));
class RNNModelScratch : public SequenceModel {
 public:
  /// Draws the parameters. Throws UsageError unless vocab_size and num_hiddens are >= 1.
  RNNModelScratch(int64_t vocab_size, int64_t num_hiddens, torch::Device device,
                  const GetParams& get_params, InitState init_state, ForwardFn forward_fn);

  std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) override;
  State begin_state(int64_t batch_size) const override;
  NamedTensors weights() const override { return params_; }
  torch::Device device() const override { return device_; }

 private:
  int64_t vocab_size_;
  int64_t num_hiddens_;
  torch::Device device_;
  NamedTensors params_;
  InitState init_state_;
  ForwardFn forward_fn_;
};

}  // namespace unroll
