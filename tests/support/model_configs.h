#pragma once

#include <ostream>
#include <string>
#include <vector>

#include "base/formatted.h"
#include "unroll/compute.h"

namespace unroll {

/// `scratch_gru_before`, `concise_lstm_2_layers`: a name for a parameterised test.
inline std::string name_of(const ModelConfig& config) {
  auto name = formatted("{}_{}", to_string(config.model), to_string(config.cell));
  if (config.cell == Cell::kGru) {
    name += formatted("_{}", to_string(gru_reset(config)));
  }
  if (config.layers > 1) {
    name += formatted("_{}_layers", config.layers);
  }
  if (config.dropout > 0) {
    name += "_dropout";
  }
  if (config.hidden > 32) {
    name += formatted("_{}_hidden", config.hidden);
  }
  if (config.precision != Precision::kFp32) {
    name += formatted("_{}", to_string(config.precision));
  }
  return name;
}

inline void PrintTo(const ModelConfig& config, std::ostream* out) { *out << name_of(config); }

inline ModelConfig config_of(ModelKind model, Cell cell, int64_t hidden) {
  ModelConfig config;
  config.model = model;
  config.cell = cell;
  config.hidden = hidden;
  return config;
}

/// Each model with a memory, one layer: every kind and cell, both forms of the GRU.
inline std::vector<ModelConfig> recurrent_models(int64_t hidden) {
  std::vector<ModelConfig> models;
  for (const auto kind : {ModelKind::kScratch, ModelKind::kConcise, ModelKind::kFused}) {
    for (const auto cell : {Cell::kRnn, Cell::kGru, Cell::kLstm}) {
      models.push_back(config_of(kind, cell, hidden));
    }
  }
  for (const auto kind : {ModelKind::kScratch, ModelKind::kFused}) {
    models.push_back(config_of(kind, Cell::kGru, hidden));
    models.back().gru_reset = GruReset::kAfter;
  }
  return models;
}

/// Every model there is: recurrent_models, the MLP and LSTMs of two layers.
inline std::vector<ModelConfig> all_models(int64_t hidden) {
  auto models = recurrent_models(hidden);
  models.push_back(config_of(ModelKind::kScratch, Cell::kMlp, hidden));
  for (const auto kind : {ModelKind::kConcise, ModelKind::kFused}) {
    models.push_back(config_of(kind, Cell::kLstm, hidden));
    models.back().layers = 2;
  }
  return models;
}

}  // namespace unroll
