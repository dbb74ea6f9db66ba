#include "unroll/model_config.h"

#include <fmt/format.h>

#include <array>
#include <string>

#include "parse_enum.h"
#include "require_in.h"
#include "unroll/error.h"
#include "unroll/gru_scratch.h"
#include "unroll/lstm_scratch.h"
#include "unroll/mlp_scratch.h"
#include "unroll/rnn_model.h"
#include "unroll/rnn_model_scratch.h"
#include "unroll/rnn_scratch.h"

namespace unroll {
namespace {

// W_hh of so many hidden units takes 4 TiB; beyond these, sizes would begin to overflow.
constexpr int64_t kMostHidden = int64_t{1} << 20;
constexpr int64_t kMostLayers = 1024;

// Products with W_x and W_h that a cell adds up.
int64_t gates(Cell cell) {
  switch (cell) {
    case Cell::kGru:
      return 3;
    case Cell::kLstm:
      return 4;
    case Cell::kRnn:
    case Cell::kMlp:
      break;
  }
  return 1;
}

std::unique_ptr<SequenceModel> make_scratch(const ModelConfig& config, int64_t V,
                                            torch::Device device) {
  const auto make = [&](auto get_params, auto init_state, auto forward_fn) {
    return std::make_unique<RNNModelScratch>(V, config.hidden, device, get_params, init_state,
                                             forward_fn);
  };
  switch (config.cell) {
    case Cell::kGru:
      return gru_reset(config) == GruReset::kBefore
                 ? make(get_gru_params, init_gru_state, gru)
                 : make(get_gru_reset_after_params, init_gru_state, gru_reset_after);
    case Cell::kLstm:
      return make(get_lstm_params, init_lstm_state, lstm);
    case Cell::kMlp:
      return make(get_mlp_params, init_mlp_state, mlp);
    case Cell::kRnn:
      break;
  }
  return make(get_params, init_rnn_state, rnn);
}

std::unique_ptr<SequenceModel> make_concise(const ModelConfig& config, int64_t V,
                                            torch::Device device) {
  const auto make = [&](auto layer) {
    return std::make_unique<RNNModel>(std::move(layer), V, device);
  };
  switch (config.cell) {
    case Cell::kGru:
      return make(
          torch::nn::GRU(torch::nn::GRUOptions(V, config.hidden).num_layers(config.layers)));
    case Cell::kLstm:
      return make(
          torch::nn::LSTM(torch::nn::LSTMOptions(V, config.hidden).num_layers(config.layers)));
    case Cell::kRnn:
    case Cell::kMlp:
      break;
  }
  return make(torch::nn::RNN(torch::nn::RNNOptions(V, config.hidden)
                                 .num_layers(config.layers)
                                 .nonlinearity(torch::kTanh)));
}

}  // namespace

std::string_view to_string(ModelKind kind) {
  return kind == ModelKind::kScratch ? "scratch" : "concise";
}

std::string_view to_string(Cell cell) {
  switch (cell) {
    case Cell::kGru:
      return "gru";
    case Cell::kLstm:
      return "lstm";
    case Cell::kMlp:
      return "mlp";
    case Cell::kRnn:
      break;
  }
  return "rnn";
}

std::string_view to_string(GruReset reset) {
  return reset == GruReset::kBefore ? "before" : "after";
}

ModelKind parse_model_kind(std::string_view name) {
  return parse_enum("model", name, std::array{ModelKind::kScratch, ModelKind::kConcise});
}

Cell parse_cell(std::string_view name) {
  return parse_enum("cell", name, std::array{Cell::kRnn, Cell::kGru, Cell::kLstm, Cell::kMlp});
}

GruReset parse_gru_reset(std::string_view name) {
  return parse_enum("gru-reset", name, std::array{GruReset::kBefore, GruReset::kAfter});
}

GruReset gru_reset(const ModelConfig& config) {
  return config.gru_reset.value_or(config.model == ModelKind::kScratch ? GruReset::kBefore
                                                                       : GruReset::kAfter);
}

void check(const ModelConfig& config) {
  require_in("hidden", config.hidden, 1, kMostHidden);
  require_in("layers", config.layers, 1, kMostLayers);
  if (config.model == ModelKind::kScratch && config.layers > 1) {
    throw UsageError(fmt::format(
        "the scratch model has 1 layer, got {}; the concise model has more", config.layers));
  }
  if (config.model == ModelKind::kConcise && config.cell == Cell::kMlp) {
    throw UsageError("the mlp cell is a scratch model's, got model concise");
  }
  if (config.gru_reset && config.cell != Cell::kGru) {
    throw UsageError(
        fmt::format("gru-reset belongs to the gru cell, got cell {}", to_string(config.cell)));
  }
  if (config.model == ModelKind::kConcise && gru_reset(config) == GruReset::kBefore) {
    throw UsageError("the concise gru resets after the product, got gru-reset before");
  }
}

int64_t parameter_count(const ModelConfig& config, int64_t vocab_size) {
  check(config);
  const int64_t V = vocab_size;
  const int64_t H = config.hidden;
  const int64_t G = gates(config.cell);
  const int64_t output = H * V + V;
  if (config.cell == Cell::kMlp) {
    return V * H + H + output;
  }
  if (config.model == ModelKind::kScratch) {
    // The reset-after GRU has a second bias of its candidate, inside the reset.
    const int64_t biases = G + (config.cell == Cell::kGru && gru_reset(config) == GruReset::kAfter);
    return G * (V * H + H * H) + biases * H + output;
  }
  // torch::nn has two biases a gate; the layers above the first read H values instead of V.
  return G * (V * H + H * H + 2 * H) + (config.layers - 1) * G * (2 * H * H + 2 * H) + output;
}

std::unique_ptr<SequenceModel> make_model(const ModelConfig& config, int64_t vocab_size,
                                          torch::Device device) {
  check(config);
  return config.model == ModelKind::kScratch ? make_scratch(config, vocab_size, device)
                                             : make_concise(config, vocab_size, device);
}

}  // namespace unroll
