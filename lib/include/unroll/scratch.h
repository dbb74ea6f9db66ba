#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <memory>
#include <utility>

#include "unroll/model.h"

#pragma GCC visibility push(default)
namespace unroll {

class StateForm;

/// (V, H, device) -> parameters.
using GetParams = std::function<NamedTensors(int64_t, int64_t, torch::Device)>;
/// (B, H, device) -> the state before the first token; the batch is dimension -2 of each tensor.
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
  /// Draws the parameters, and asks for the state of one sequence to see its shapes.
  ///
  /// Throws UsageError unless vocab_size and num_hiddens are >= 1 and each function is there.
  /// Throws Error unless get_params gives parameters of floating dtypes on the device, of which
  /// those that require a gradient are leaves: else no updater would change what they are computed
  /// from.
  RNNModelScratch(int64_t vocab_size, int64_t num_hiddens, torch::Device device,
                  const GetParams& get_params, InitState init_state, ForwardFn forward_fn);

  /// Two models never share parameters.
  RNNModelScratch(const RNNModelScratch&) = delete;
  RNNModelScratch& operator=(const RNNModelScratch&) = delete;
  /// What is moved from has no parameters.
  RNNModelScratch(RNNModelScratch&&) = default;
  RNNModelScratch& operator=(RNNModelScratch&&) = delete;
  ~RNNModelScratch() override = default;

  /// Throws Error as every model does, and if forward_fn returns outputs of another shape.
  std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) override;
  State begin_state(int64_t batch_size) const override;
  int64_t vocab_size() const override { return vocab_size_; }

  /// Known if forward_fn is `rnn`, `rnn_relu`, `gru`, `gru_reset_after`, `lstm` or `mlp`, with the
  /// parameters that it takes and a first state of zeros.
  ModelConfig config() const override;
  NamedTensors weights() const override { return params_; }
  torch::Device device() const override { return device_; }

 private:
  int64_t vocab_size_;
  int64_t num_hiddens_;
  torch::Device device_;
  NamedTensors params_;
  InitState init_state_;
  ForwardFn forward_fn_;
  std::shared_ptr<const StateForm> state_form_;
};

/// The parameters of the notebook's RNN: W_xh (V,H), W_hh (H,H), b_h (H), W_hq (H,V), b_q (V).
///
/// W_xh, W_hh and W_hq are drawn, in that order, from N(0,1) * 0.01 on the device's default
/// generator; the biases are zero. All require gradients.
NamedTensors get_params(int64_t vocab_size, int64_t num_hiddens, torch::Device device);

/// One (B,H) tensor of zeros.
State init_rnn_state(int64_t batch_size, int64_t num_hiddens, torch::Device device);

/// H_t = tanh(X_t W_xh + H_{t-1} W_hh + b_h), O_t = H_t W_hq + b_q, for t = 1..T.
///
/// inputs (T,B,V) one-hot floats, state {H (B,H)} -> outputs (T*B,V) and the new state.
std::pair<torch::Tensor, State> rnn(const torch::Tensor& inputs, const State& state,
                                    const NamedTensors& params);

/// The same with ReLU in place of tanh: H_t = max(0, X_t W_xh + H_{t-1} W_hh + b_h), as
/// torch::nn::RNN with the nonlinearity relu.
std::pair<torch::Tensor, State> rnn_relu(const torch::Tensor& inputs, const State& state,
                                         const NamedTensors& params);

/// The parameters of the notebook's GRU: W_xz W_hz b_z W_xr W_hr b_r W_xh W_hh b_h W_hq b_q, with
/// W_x. (V,H), W_h. (H,H), b_. (H), W_hq (H,V), b_q (V). Drawn as the RNN's, in this order.
NamedTensors get_gru_params(int64_t vocab_size, int64_t num_hiddens, torch::Device device);

/// The same with b_hh (H), zeros, after b_h: the bias that the reset gate multiplies in
/// gru_reset_after.
NamedTensors get_gru_reset_after_params(int64_t vocab_size, int64_t num_hiddens,
                                        torch::Device device);

/// One (B,H) tensor of zeros.
State init_gru_state(int64_t batch_size, int64_t num_hiddens, torch::Device device);

/// The book's GRU, the reset gate before the product:
///
///     Z = sigmoid(X W_xz + H W_hz + b_z),  R = sigmoid(X W_xr + H W_hr + b_r)
///     C = tanh(X W_xh + (R*H) W_hh + b_h), H' = Z*H + (1-Z)*C, O = H' W_hq + b_q
///
/// inputs (T,B,V) one-hot floats, state {H (B,H)} -> outputs (T*B,V) and the new state.
/// Cho et al. 2014, https://arxiv.org/abs/1406.1078
std::pair<torch::Tensor, State> gru(const torch::Tensor& inputs, const State& state,
                                    const NamedTensors& params);

/// torch::nn::GRU's form, the reset gate after the product: C = tanh(X W_xh + b_h + R*(H W_hh +
/// b_hh)).
std::pair<torch::Tensor, State> gru_reset_after(const torch::Tensor& inputs, const State& state,
                                                const NamedTensors& params);

/// The parameters of the notebook's LSTM: gates i, f, o, then the candidate c, each (W_x. (V,H),
/// W_h. (H,H), b_. (H)), then W_hq (H,V), b_q (V). Drawn as the RNN's, in this order.
NamedTensors get_lstm_params(int64_t vocab_size, int64_t num_hiddens, torch::Device device);

/// Two (B,H) tensors of zeros: the hidden state and the memory cell.
State init_lstm_state(int64_t batch_size, int64_t num_hiddens, torch::Device device);

/// I, F, O = sigmoid(X W_x. + H W_h. + b_.),  G = tanh(X W_xc + H W_hc + b_c)
/// C' = F*C + I*G,  H' = O*tanh(C'),  output H' W_hq + b_q
///
/// inputs (T,B,V) one-hot floats, state {H (B,H), C (B,H)} -> outputs (T*B,V) and the new state.
/// Hochreiter and Schmidhuber 1997, with the forget gate of Gers et al. 2000.
std::pair<torch::Tensor, State> lstm(const torch::Tensor& inputs, const State& state,
                                     const NamedTensors& params);

/// The RNN's parameters without W_hh: W_xh (V,H), b_h (H), W_hq (H,V), b_q (V).
NamedTensors get_mlp_params(int64_t vocab_size, int64_t num_hiddens, torch::Device device);

/// An empty state: without W_hh nothing is remembered.
State init_mlp_state(int64_t batch_size, int64_t num_hiddens, torch::Device device);

/// The ablation that shows what W_hh is for: H_t = tanh(X_t W_xh + b_h), O_t = H_t W_hq + b_q.
///
/// inputs (T,B,V) one-hot floats -> outputs (T*B,V) and an empty state.
std::pair<torch::Tensor, State> mlp(const torch::Tensor& inputs, const State& state,
                                    const NamedTensors& params);

}  // namespace unroll
#pragma GCC visibility pop
