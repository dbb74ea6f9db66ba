#include <string>

#include "base/formatted.h"
#include "layers/layer_computation.h"
#include "unroll/error.h"
#include "unroll/fused.h"

namespace unroll {
namespace {

// `unroll::FusedLSTMImpl` as its users know it.
std::string public_name(const torch::nn::Module& layer) {
  const auto& name = layer.name();
  const auto first = name.rfind(':') + 1;
  return name.substr(first, name.size() - first - std::string("Impl").size());
}

}  // namespace

template <typename Derived, typename Layer>
FusedLayer<Derived, Layer>::FusedLayer(const Options& options, const Compute& compute)
    : Layer(options), computation_(std::make_unique<LayerComputation>(compute)) {
  if (this->options_base.proj_size() != 0) {
    throw UsageError(formatted("FusedLSTM has no proj_size, got {}; take torch::nn::LSTM",
                               this->options_base.proj_size()));
  }
}

template <typename Derived, typename Layer>
FusedLayer<Derived, Layer>::~FusedLayer() = default;

template <typename Derived, typename Layer>
std::shared_ptr<torch::nn::Module> FusedLayer<Derived, Layer>::clone(
    const std::optional<torch::Device>& device) const {
  const torch::NoGradGuard no_grad;
  auto copy = std::make_shared<Derived>(this->options, computation_->compute());
  copy->options_base = this->options_base;
  auto copied = copy->named_parameters(/*recurse=*/false);
  for (const auto& own : this->named_parameters(/*recurse=*/false)) {
    auto& to = copied[own.key()];
    to.set_data(own.value().detach().clone());
    to.set_requires_grad(own.value().requires_grad());
  }
  copy->train(this->is_training());
  if (device) {
    copy->to(*device);
  }
  return copy;
}

template <typename Derived, typename Layer>
Compute FusedLayer<Derived, Layer>::effective_compute(int64_t batch_size) const {
  const auto precision =
      computation_->precision(this->options_base, batch_size, this->flat_weights_);
  return {.backend = precision ? Backend::kFused : Backend::kPlain,
          .precision = precision.value_or(Precision::kFp32),
          .graph = GraphMode::kOff,
          .generator = computation_->compute().generator};
}

template <typename Derived, typename Layer>
std::optional<std::pair<torch::Tensor, State>> FusedLayer<Derived, Layer>::run(
    const torch::Tensor& input, const State& state) {
  return computation_->run(this->options_base, this->flat_weights_, input, state,
                           this->is_training());
}

template <typename Derived, typename Layer>
void FusedLayer<Derived, Layer>::refuse_packed_input() const {
  const auto name = public_name(*this);
  throw UsageError(formatted("{} takes no packed sequences; pad them, or take torch::nn::{}", name,
                             name.substr(std::string("Fused").size())));
}

template <typename Derived, typename Layer>
std::tuple<torch::Tensor, torch::Tensor> FusedLayerOfH<Derived, Layer>::forward(
    const torch::Tensor& input, torch::Tensor hx) {
  if (auto result = this->run(input, hx.defined() ? State{hx} : State())) {
    return {result->first, result->second.front()};
  }
  return Layer::forward(input, std::move(hx));
}

template class FusedLayer<FusedRNNImpl, torch::nn::RNNImpl>;
template class FusedLayer<FusedGRUImpl, torch::nn::GRUImpl>;
template class FusedLayer<FusedLSTMImpl, torch::nn::LSTMImpl>;
template class FusedLayerOfH<FusedRNNImpl, torch::nn::RNNImpl>;
template class FusedLayerOfH<FusedGRUImpl, torch::nn::GRUImpl>;

std::tuple<torch::Tensor, std::tuple<torch::Tensor, torch::Tensor>> FusedLSTMImpl::forward(
    const torch::Tensor& input, std::optional<std::tuple<torch::Tensor, torch::Tensor>> hx_opt) {
  if (auto result =
          run(input, hx_opt ? State{std::get<0>(*hx_opt), std::get<1>(*hx_opt)} : State())) {
    return {result->first, {result->second[0], result->second[1]}};
  }
  return LSTMImpl::forward(input, std::move(hx_opt));
}

}  // namespace unroll
