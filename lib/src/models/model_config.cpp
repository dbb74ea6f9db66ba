#include <array>
#include <string>

#include "base/formatted.h"
#include "base/parse_enum.h"
#include "base/require_in.h"
#include "unroll/compute.h"
#include "unroll/concise.h"
#include "unroll/error.h"
#include "unroll/fused.h"
#include "unroll/scratch.h"

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
      return make(torch::nn::GRU(torch::nn::GRUOptions(V, config.hidden)
                                     .num_layers(config.layers)
                                     .dropout(config.dropout)));
    case Cell::kLstm:
      return make(torch::nn::LSTM(torch::nn::LSTMOptions(V, config.hidden)
                                      .num_layers(config.layers)
                                      .dropout(config.dropout)));
    case Cell::kRnn:
    case Cell::kMlp:
      break;
  }
  return make(torch::nn::RNN(torch::nn::RNNOptions(V, config.hidden)
                                 .num_layers(config.layers)
                                 .dropout(config.dropout)
                                 .nonlinearity(torch::kTanh)));
}

}  // namespace

std::string_view to_string(ModelKind kind) {
  switch (kind) {
    case ModelKind::kConcise:
      return "concise";
    case ModelKind::kFused:
      return "fused";
    case ModelKind::kScratch:
      break;
  }
  return "scratch";
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
  return parse_enum("model", name,
                    std::array{ModelKind::kScratch, ModelKind::kConcise, ModelKind::kFused});
}

Cell parse_cell(std::string_view name) {
  return parse_enum("cell", name, std::array{Cell::kRnn, Cell::kGru, Cell::kLstm, Cell::kMlp});
}

GruReset parse_gru_reset(std::string_view name) {
  return parse_enum("gru-reset", name, std::array{GruReset::kBefore, GruReset::kAfter});
}

ModelConfig parameter_model(const ModelConfig& config) {
  ModelConfig result = config;
  if (config.model == ModelKind::kFused) {
    result.model = config.layers == 1 ? ModelKind::kScratch : ModelKind::kConcise;
    result.precision = Precision::kFp32;
    result.cuda_kernels = false;
  }
  if (config.cell == Cell::kGru && !config.gru_reset) {
    result.gru_reset = result.model == ModelKind::kScratch ? GruReset::kBefore : GruReset::kAfter;
  }
  return result;
}

GruReset gru_reset(const ModelConfig& config) {
  return parameter_model(config).gru_reset.value_or(GruReset::kBefore);
}

void check(const ModelConfig& config) {
  require_in("hidden", config.hidden, 1, kMostHidden);
  require_in("layers", config.layers, 1, kMostLayers);
  if (config.model == ModelKind::kScratch && config.layers > 1) {
    throw UsageError(formatted(
        "the scratch model has 1 layer, got {}; the concise and the fused model have more",
        config.layers));
  }
  if (!(config.dropout >= 0 && config.dropout < 1)) {
    throw UsageError(formatted("dropout must be from 0 to below 1, got {}", config.dropout));
  }
  if (config.dropout > 0 && config.layers == 1) {
    throw UsageError(
        formatted("dropout acts between layers, got dropout {} with 1 layer", config.dropout));
  }
  if (config.model != ModelKind::kScratch && config.cell == Cell::kMlp) {
    throw UsageError(
        formatted("the mlp cell is a scratch model's, got model {}", to_string(config.model)));
  }
  if (config.model != ModelKind::kFused && config.precision != Precision::kFp32) {
    throw UsageError(formatted("precision {} is the fused model's, got model {}",
                               to_string(config.precision), to_string(config.model)));
  }
  if (config.model != ModelKind::kFused && config.cuda_kernels) {
    throw UsageError(
        formatted("CUDA kernels are the fused model's, got model {}", to_string(config.model)));
  }
  if (config.gru_reset && config.cell != Cell::kGru) {
    throw UsageError(
        formatted("gru-reset belongs to the gru cell, got cell {}", to_string(config.cell)));
  }
  if (config.cell == Cell::kGru && parameter_model(config).model == ModelKind::kConcise &&
      gru_reset(config) == GruReset::kBefore) {
    throw UsageError(
        config.model == ModelKind::kConcise
            ? "the concise gru resets after the product, got gru-reset before"
            : "a gru of several layers resets after the product, got gru-reset before");
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
  if (parameter_model(config).model == ModelKind::kScratch) {
    // The reset-after GRU has a second bias of its candidate, inside the reset.
    const int64_t biases = G + (config.cell == Cell::kGru && gru_reset(config) == GruReset::kAfter);
    return G * (V * H + H * H) + biases * H + output;
  }
  // torch::nn has two biases a gate; the layers above the first read H values instead of V.
  return G * (V * H + H * H + 2 * H) + (config.layers - 1) * G * (2 * H * H + 2 * H) + output;
}

double training_flops_per_token(const ModelConfig& config, int64_t vocab_size) {
  check(config);
  const auto V = static_cast<double>(vocab_size);
  const auto H = static_cast<double>(config.hidden);
  const auto L = static_cast<double>(config.layers);
  const auto G = config.cell == Cell::kMlp ? 0.0 : static_cast<double>(gates(config.cell));
  // W_h of every layer, W_x of those above the first, W_hq; a multiply-add is two operations, and
  // there are three products.
  return 6 * (G * H * H * (2 * L - 1) + H * V);
}

void require_supported(Precision precision, torch::Device device) {
  if (precision == Precision::kBf16x3 && !device.is_cpu()) {
    throw Error(
        formatted("precision bf16x3 is computed on a CPU, got device {}; choose fp32, bf16, or cpu",
                  device.str()));
  }
  if (precision == Precision::kBf16 && !device.is_cpu() && !device.is_cuda()) {
    throw Error(
        formatted("precision bf16 is computed on a CPU or by CUDA, got device {}", device.str()));
  }
  if (device.is_cpu()) {
    require_supported(precision);
  }
}

void require_supported(const ModelConfig& config, torch::Device device) {
  require_supported(config.precision, device);
  if (config.precision == Precision::kBf16 && device.is_cuda() && !config.cuda_kernels) {
    throw Error(
        formatted("precision bf16 on {} needs the fused model's cuda_kernels; choose fp32, "
                  "or cpu",
                  device.str()));
  }
}

std::unique_ptr<SequenceModel> make_model(const ModelConfig& config, int64_t vocab_size,
                                          torch::Device device) {
  check(config);
  require_supported(config, device);
  const auto plain = parameter_model(config);
  auto model = plain.model == ModelKind::kScratch ? make_scratch(plain, vocab_size, device)
                                                  : make_concise(plain, vocab_size, device);
  if (config.model == ModelKind::kFused) {
    return std::make_unique<FusedModel>(std::move(model), config);
  }
  return model;
}

}  // namespace unroll
