// What models say of themselves: the descriptions from which the same function can be made.
#include <algorithm>
#include <cstddef>
#include <optional>
#include <typeinfo>
#include <variant>

#include "models/cell_kind.h"
#include "models/plain_model.h"
#include "models/weight_shapes.h"
#include "unroll/compute.h"
#include "unroll/concise.h"
#include "unroll/error.h"
#include "unroll/scratch.h"

namespace unroll {
namespace {

std::size_t state_count(const ModelConfig& config) {
  return config.cell == Cell::kMlp
             ? 0
             : static_cast<std::size_t>(table_of(cell_kind(config)).state_count);
}

}  // namespace

Cell cell_of(const torch::nn::detail::RNNOptionsBase& options) {
  const auto& mode = options.mode();
  if (std::holds_alternative<torch::enumtype::kLSTM>(mode)) {
    return Cell::kLstm;
  }
  if (std::holds_alternative<torch::enumtype::kGRU>(mode)) {
    return Cell::kGru;
  }
  return std::holds_alternative<torch::enumtype::kRNN_RELU>(mode) ? Cell::kRnnRelu : Cell::kRnn;
}

ModelConfig SequenceModel::config() const {
  throw Error("no description stands for this model: it is a class of its own");
}

ModelConfig RNNModelScratch::config() const {
  const auto* function = forward_fn_.target<decltype(&rnn)>();
  auto known = function == nullptr ? std::nullopt : scratch_config(*function);
  if (typeid(*this) != typeid(RNNModelScratch) || !known) {
    throw Error("no description stands for this scratch model: its forward function is its own");
  }
  known->hidden = num_hiddens_;
  check_weights(*known, vocab_size_, params_);
  const auto begin = begin_state(1);
  const auto is_zero = [&](const torch::Tensor& s) {
    return s.sizes() == at::IntArrayRef{1, num_hiddens_} && s.count_nonzero().item<int64_t>() == 0;
  };
  if (begin.size() != state_count(*known) || !std::all_of(begin.begin(), begin.end(), is_zero)) {
    throw Error("no description stands for this scratch model: its first state is its own");
  }
  return *known;
}

ModelConfig RNNModel::config() const {
  if (typeid(*this) != typeid(RNNModel)) {
    throw Error("no description stands for this model: its class is derived from RNNModel");
  }
  return std::visit(
      [&](const auto& layer) {
        const auto& options = layer->options_base;
        if (!options.bias()) {
          throw Error("no description stands for this model: its recurrent layer has no biases");
        }
        ModelConfig config{.model = ModelKind::kConcise,
                           .cell = cell_of(options),
                           .hidden = options.hidden_size(),
                           .layers = options.num_layers()};
        config.dropout = config.layers > 1 ? options.dropout() : 0;  // torch drops nothing else
        check_weights(config, vocab_size_, weights());
        return resolved(config);
      },
      rnn_);
}

}  // namespace unroll
