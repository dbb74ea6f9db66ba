#include "unroll/concise.h"

#include <string_view>
#include <type_traits>
#include <typeinfo>

#include "base/formatted.h"
#include "models/arguments.h"
#include "tensors/one_hot.h"
#include "unroll/error.h"

namespace unroll {
namespace {

template <typename Layer>
constexpr bool kIsLstm = std::is_same_v<std::decay_t<Layer>, torch::nn::LSTM>;

void require(bool holds, std::string_view expected) {
  if (!holds) {
    throw UsageError(formatted("RNNModel needs a recurrent layer that {}", expected));
  }
}

}  // namespace

RNNModel::RNNModel(RecurrentLayer rnn_layer, int64_t vocab_size, torch::Device device)
    : rnn_(std::move(rnn_layer)), linear_(nullptr), vocab_size_(vocab_size) {
  std::visit(
      [&](auto& layer) {
        require(!layer.is_empty(), "is there, got null");
        // The options that the layer was built with; options_base is what its kernels use.
        const auto& options = layer->options_base;
        require(!options.bidirectional(), "runs in one direction");
        require(!options.batch_first(), "has time first (batch_first false)");
        require(options.input_size() == vocab_size,
                formatted("takes {} inputs, got {}", vocab_size, options.input_size()));
        require(options.proj_size() == 0, "projects nothing (proj_size 0)");
        register_module("rnn", layer);
        linear_ = register_module("linear", torch::nn::Linear(options.hidden_size(), vocab_size));
      },
      rnn_);
  to(device);
}

std::shared_ptr<torch::nn::Module> RNNModel::clone(
    const std::optional<torch::Device>& device) const {
  if (typeid(*this) != typeid(RNNModel) || named_parameters(/*recurse=*/false).size() > 0 ||
      children().size() != 2) {
    throw Error(formatted("{} is more than an RNNModel: its class must clone it", name()));
  }
  const auto layer = std::visit(
      [](const auto& of_this) -> RecurrentLayer {
        using Layer = std::decay_t<decltype(of_this)>;
        using Impl = typename Layer::ContainedType;
        return Layer(std::dynamic_pointer_cast<Impl>(of_this->clone()));
      },
      rnn_);
  auto copy = std::make_shared<RNNModel>(layer, vocab_size_, this->device());
  copy->linear_->weight.set_data(linear_->weight.detach().clone());
  copy->linear_->bias.set_data(linear_->bias.detach().clone());
  const auto own = parameters();
  const auto copied = copy->parameters();
  for (std::size_t i = 0; i < own.size(); ++i) {
    copied[i].set_requires_grad(own[i].requires_grad());
  }
  copy->train(is_training());
  if (device) {
    copy->to(*device);
  }
  return copy;
}

void RNNModel::clone_(torch::nn::Module& other, const std::optional<torch::Device>& device) {
  const auto copy = std::dynamic_pointer_cast<RNNModel>(other.clone(device));
  if (!copy) {
    throw Error(formatted("an RNNModel cannot become a clone of {}", other.name()));
  }
  rnn_ = copy->rnn_;
  vocab_size_ = copy->vocab_size_;
  linear_ = replace_module("linear", copy->linear_);
  std::visit([&](const auto& layer) { replace_module("rnn", layer); }, rnn_);
  train(copy->is_training());
}

std::pair<torch::Tensor, State> RNNModel::forward(const torch::Tensor& X, const State& state) {
  const auto& weight = linear_->weight;
  const auto tokens = checked_tokens(X, vocab_size_, weight.device());
  const auto inputs = one_hot(tokens.t(), vocab_size_, weight.scalar_type());
  return std::visit(
      [&](auto& layer) -> std::pair<torch::Tensor, State> {
        const auto& options = layer->options_base;
        StateForm(kIsLstm<decltype(layer)> ? 2 : 1,
                  {options.num_layers(), 1, options.hidden_size()})
            .check(state, tokens.size(0), weight);
        if constexpr (kIsLstm<decltype(layer)>) {
          auto [Y, last] = layer->forward(inputs, std::make_tuple(state.at(0), state.at(1)));
          return {linear_->forward(Y.reshape({-1, Y.size(-1)})),
                  {std::get<0>(last), std::get<1>(last)}};
        } else {
          auto [Y, last] = layer->forward(inputs, state.at(0));
          return {linear_->forward(Y.reshape({-1, Y.size(-1)})), {last}};
        }
      },
      rnn_);
}

State RNNModel::begin_state(int64_t batch_size) const {
  check_batch_size(batch_size);
  return std::visit(
      [&](const auto& layer) -> State {
        const auto& options = layer->options_base;
        const auto zeros = [&] {
          return torch::zeros({options.num_layers(), batch_size, options.hidden_size()},
                              linear_->weight.options().requires_grad(false));
        };
        if constexpr (kIsLstm<decltype(layer)>) {
          return {zeros(), zeros()};
        } else {
          return {zeros()};
        }
      },
      rnn_);
}

NamedTensors RNNModel::weights() const {
  NamedTensors result;
  for (const auto& item : named_parameters()) {
    result.push_back({item.key(), item.value()});
  }
  return result;
}

torch::Device RNNModel::device() const { return linear_->weight.device(); }

}  // namespace unroll
