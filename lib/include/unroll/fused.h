#pragma once

#include <torch/nn/modules/rnn.h>
#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <tuple>
#include <utility>

#include "unroll/compute.h"
#include "unroll/scratch.h"

#pragma GCC visibility push(default)
namespace unroll {

class LayerComputation;

/// What FusedRNN, FusedGRU and FusedLSTM share: a torch::nn layer, computed by our kernels. Its
/// parameters, their names and first values, its options and printing are torch::nn's.
///
/// `Layer` is torch::nn::RNNImpl, GRUImpl or LSTMImpl. Its functions are not virtual: who calls
/// ours as one of these gets the same numbers, computed by LibTorch.
template <typename Derived, typename Layer>
class FusedLayer : public Layer {
 public:
  using Options = decltype(Layer::options);  ///< those of torch::nn's layer

  /// With options of these two sizes.
  FusedLayer(int64_t input_size, int64_t hidden_size)
      : FusedLayer(Options(input_size, hidden_size)) {}
  /// The backend, precision and generator of `compute` are used; its graph and preference are of
  /// whole models. kPlain and kCudnn are LibTorch's own layer, in float32. Throws UsageError for a
  /// proj_size, and for another precision of these.
  explicit FusedLayer(const Options& options, const Compute& compute = {});

  FusedLayer(const FusedLayer&) = delete;
  FusedLayer& operator=(const FusedLayer&) = delete;
  ~FusedLayer() override;

  /// Another layer with copies of the parameters, on `device` if one is given.
  std::shared_ptr<torch::nn::Module> clone(
      const std::optional<torch::Device>& device = std::nullopt) const override;

  /// Who computes batches of so many sequences, and in which precision: kFused, or kPlain, which is
  /// LibTorch's own layer, on a CUDA device cuDNN's.
  Compute effective_compute(int64_t batch_size) const;

  /// Always throws UsageError: there are no packed sequences here.
  template <typename... Arguments>
  void forward_with_packed_input(const Arguments&... /*unused*/) const {
    refuse_packed_input();
  }

 protected:
  /// The outputs and the states, by the kernels, or nothing where they cannot. An empty state
  /// stands for zeros. Throws Error for a shape that does not fit.
  std::optional<std::pair<torch::Tensor, State>> run(const torch::Tensor& input,
                                                     const State& state);

 private:
  [[noreturn]] void refuse_packed_input() const;

  std::unique_ptr<LayerComputation> computation_;
};

/// A layer whose state is h alone: FusedRNN and FusedGRU.
template <typename Derived, typename Layer>
class FusedLayerOfH : public FusedLayer<Derived, Layer> {
 public:
  using FusedLayer<Derived, Layer>::FusedLayer;

  /// input (T,B,inputs), or (B,T,inputs) with batch_first; hx (layers x directions,B,H), zeros if
  /// undefined -> the last layer's states at each step, (T,B,directions x H) or batch first, and
  /// all layers' after the last one. Throws Error for a shape that does not fit.
  std::tuple<torch::Tensor, torch::Tensor> forward(const torch::Tensor& input,
                                                   torch::Tensor hx = {});

 protected:
  FORWARD_HAS_DEFAULT_ARGS({1, torch::nn::AnyValue(torch::Tensor())})
};

/// Stands in for torch::nn::RNN, with tanh or ReLU, and computes the same faster.
///
///     FusedRNN rnn(torch::nn::RNNOptions(8, 64).num_layers(2).batch_first(true));
///     auto [output, h] = rnn->forward(x);
///
/// What torch::nn's layer has is here too: layers, bias, batch_first, dropout, both directions,
/// state dicts and torch::save, clones, parents and optimisers; but no packed sequences. The
/// gradients by input, states and parameters can be asked for again where the graph is kept, but
/// not differentiated themselves. The kernels serve float32, on a CPU, and on a CUDA device where
/// the weights fit in the GPU's multiprocessors and cuDNN is not estimated to be faster; all else
/// is computed by torch::nn's own layer. Each call copies the weights into the kernels' layout, so
/// call it with whole sequences. One thread, and on a GPU one stream, may use a layer at a time.
class FusedRNNImpl : public FusedLayerOfH<FusedRNNImpl, torch::nn::RNNImpl> {
 public:
  using FusedLayerOfH::FusedLayerOfH;
};
TORCH_MODULE(FusedRNN);

/// Stands in for torch::nn::GRU as FusedRNN does for torch::nn::RNN.
class FusedGRUImpl : public FusedLayerOfH<FusedGRUImpl, torch::nn::GRUImpl> {
 public:
  using FusedLayerOfH::FusedLayerOfH;
};
TORCH_MODULE(FusedGRU);

/// Stands in for torch::nn::LSTM as FusedRNN does for torch::nn::RNN; it has no proj_size.
class FusedLSTMImpl : public FusedLayer<FusedLSTMImpl, torch::nn::LSTMImpl> {
 public:
  using FusedLayer::FusedLayer;

  /// As FusedRNN's, with the states (h, c).
  std::tuple<torch::Tensor, std::tuple<torch::Tensor, torch::Tensor>> forward(
      const torch::Tensor& input,
      std::optional<std::tuple<torch::Tensor, torch::Tensor>> hx_opt = {});

 protected:
  FORWARD_HAS_DEFAULT_ARGS(
      {1, torch::nn::AnyValue(std::optional<std::tuple<torch::Tensor, torch::Tensor>>())})
};
TORCH_MODULE(FusedLSTM);

extern template class FusedLayer<FusedRNNImpl, torch::nn::RNNImpl>;
extern template class FusedLayer<FusedGRUImpl, torch::nn::GRUImpl>;
extern template class FusedLayer<FusedLSTMImpl, torch::nn::LSTMImpl>;
extern template class FusedLayerOfH<FusedRNNImpl, torch::nn::RNNImpl>;
extern template class FusedLayerOfH<FusedGRUImpl, torch::nn::GRUImpl>;

/// What the scratch model's forward function of such a cell computes (`rnn`, `gru`, ...), by the
/// fused backend, for RNNModelScratch.
///
/// inputs (T,B,V), state and parameters are float32 on a CPU; the plain function computes anything
/// else. Throws UsageError for the mlp cell, which has no recurrence.
ForwardFn fused_forward(const ModelConfig& config);

}  // namespace unroll
#pragma GCC visibility pop
