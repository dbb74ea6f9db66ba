#pragma once

#include <torch/nn/module.h>
#include <torch/nn/modules/linear.h>
#include <torch/nn/modules/rnn.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <utility>
#include <variant>

#include "unroll/model.h"

#pragma GCC visibility push(default)
namespace unroll {

/// The concise model: a recurrent layer of torch::nn, then one Linear(H,V) over all T*B outputs.
///
///     RNNModel net(torch::nn::LSTM(torch::nn::LSTMOptions(vocab.size(), 256)), vocab.size());
///
/// A torch::nn::Module, so that torch::optim and torch::save work on it, and that it can be a part
/// of another module, which can be cloned.
class RNNModel : public torch::nn::Module, public SequenceModel {
 public:
  /// RNN (tanh or ReLU), GRU or LSTM with V inputs and one or more layers, one direction, batch
  /// second.
  using RecurrentLayer = std::variant<torch::nn::RNN, torch::nn::GRU, torch::nn::LSTM>;

  /// Registers the layer as `rnn` and the output layer as `linear`, drawn after it, then moves
  /// both to `device`. Throws UsageError for a layer that is null, bidirectional, batch-first,
  /// projects or does not take V inputs.
  RNNModel(RecurrentLayer rnn_layer, int64_t vocab_size, torch::Device device = torch::kCPU);

  /// Two models never share parameters: see clone.
  RNNModel(const RNNModel&) = delete;
  RNNModel& operator=(const RNNModel&) = delete;
  ~RNNModel() override = default;

  /// Another RNNModel, with copies of the parameters, on `device` if one is given. Throws Error for
  /// a derived class, which must override this, and if further modules or parameters were
  /// registered.
  std::shared_ptr<torch::nn::Module> clone(
      const std::optional<torch::Device>& device = std::nullopt) const override;

  std::pair<torch::Tensor, State> forward(const torch::Tensor& X, const State& state) override;

  /// RNN and GRU {h (L,B,H)}, LSTM {h, c}.
  State begin_state(int64_t batch_size) const override;
  int64_t vocab_size() const override { return vocab_size_; }

  /// Known unless the layer has no biases, further parameters were registered, or the class is
  /// derived from RNNModel.
  ModelConfig config() const override;
  NamedTensors weights() const override;
  torch::Device device() const override;

  /// Overrides both bases, torch::nn::Module and SequenceModel.
  void train(bool on = true) override { torch::nn::Module::train(on); }
  /// Likewise.
  bool is_training() const noexcept override { return torch::nn::Module::is_training(); }

  /// The recurrent layer.
  const RecurrentLayer& rnn() const { return rnn_; }
  /// The output layer.
  const torch::nn::Linear& linear() const { return linear_; }

 private:
  // What another module's clone calls on the part that it has made anew.
  void clone_(torch::nn::Module& other, const std::optional<torch::Device>& device) override;

  RecurrentLayer rnn_;
  torch::nn::Linear linear_;
  int64_t vocab_size_;
};

}  // namespace unroll
#pragma GCC visibility pop
