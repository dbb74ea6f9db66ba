#include "models/plain_model.h"

#include <functional>

#include "models/scratch_params.h"
#include "unroll/concise.h"

namespace unroll {
namespace {

std::unique_ptr<SequenceModel> make_scratch(const ModelConfig& config, int64_t V,
                                            torch::Device device) {
  const auto make = [&](auto get_params, auto init_state, auto forward_fn) {
    return std::make_unique<RNNModelScratch>(V, config.hidden, device, get_params, init_state,
                                             forward_fn);
  };
  if (config.cell == Cell::kMlp) {
    return make(get_mlp_params, init_mlp_state, mlp);
  }
  const auto cell = cell_kind(config);
  return make(std::bind_front(draw_params, config), std::bind_front(zero_state, cell),
              scratch_forward(cell));
}

std::unique_ptr<SequenceModel> make_concise(const ModelConfig& config, int64_t V,
                                            torch::Device device) {
  const auto make = [&](auto options, auto make_layer) {
    options.num_layers(config.layers).dropout(config.dropout);
    return std::make_unique<RNNModel>(make_layer(options), V, device);
  };
  switch (cell_kind(config)) {
    case CellKind::kGruBefore:
    case CellKind::kGruAfter:
      return make(torch::nn::GRUOptions(V, config.hidden),
                  [](const auto& options) { return torch::nn::GRU(options); });
    case CellKind::kLstm:
      return make(torch::nn::LSTMOptions(V, config.hidden),
                  [](const auto& options) { return torch::nn::LSTM(options); });
    case CellKind::kRnn:
    case CellKind::kRnnRelu:
      break;
  }
  torch::nn::RNNOptions options(V, config.hidden);
  if (config.cell == Cell::kRnnRelu) {
    options.nonlinearity(torch::kReLU);
  }
  return make(options, [](const auto& o) { return torch::nn::RNN(o); });
}

}  // namespace

decltype(rnn)* scratch_forward(CellKind cell) {
  switch (cell) {
    case CellKind::kRnnRelu:
      return rnn_relu;
    case CellKind::kGruBefore:
      return gru;
    case CellKind::kGruAfter:
      return gru_reset_after;
    case CellKind::kLstm:
      return lstm;
    case CellKind::kRnn:
      break;
  }
  return rnn;
}

std::optional<ModelConfig> scratch_config(decltype(rnn)* forward) {
  if (forward == mlp) {
    return ModelConfig{.model = ModelKind::kScratch, .cell = Cell::kMlp};
  }
  for (const auto cell : kAllCells) {
    if (forward == scratch_forward(cell)) {
      return scratch_config(cell);
    }
  }
  return std::nullopt;
}

std::unique_ptr<SequenceModel> make_plain_model(const ModelConfig& config, int64_t vocab_size,
                                                torch::Device device) {
  return resolved(config).model == ModelKind::kScratch ? make_scratch(config, vocab_size, device)
                                                       : make_concise(config, vocab_size, device);
}

}  // namespace unroll
