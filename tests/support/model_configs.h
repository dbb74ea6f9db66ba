#pragma once

#include <algorithm>
#include <memory>
#include <ostream>
#include <string>
#include <vector>

#include "base/formatted.h"
#include "unroll/compute.h"
#include "unroll/model.h"

namespace unroll {

/// A model, and how a test computes it.
struct TestModel : ModelConfig {
  Compute compute = {.backend = Backend::kPlain};

  bool is_fused() const { return compute.backend == Backend::kFused; }
  bool operator==(const TestModel&) const = default;
};

inline std::unique_ptr<SequenceModel> make_model(const TestModel& model, int64_t vocab_size,
                                                 torch::Device device) {
  return make_model(model, vocab_size, device, model.compute);
}

/// `scratch_gru_before`, `concise_lstm_2_layers_fused`: a name for a parameterised test.
inline std::string name_of(const TestModel& model) {
  const auto config = resolved(model);
  auto name = formatted("{}_{}", to_string(*config.model), to_string(config.cell));
  if (config.cell == Cell::kGru) {
    name += formatted("_{}", to_string(*config.gru_reset));
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
  if (model.compute.backend != Backend::kPlain) {
    name += formatted("_{}", to_string(model.compute.backend));
  }
  if (model.compute.precision != Precision::kFp32) {
    name += formatted("_{}", to_string(model.compute.precision));
  }
  std::replace(name.begin(), name.end(), '-', '_');
  return name;
}

inline void PrintTo(const TestModel& model, std::ostream* out) { *out << name_of(model); }

/// A one-layer model of that kind and cell, the gru's reset where the kind has it.
inline TestModel model_of(ModelKind kind, Cell cell, int64_t hidden, Compute compute) {
  TestModel model;
  model.model = kind;
  model.cell = cell;
  model.hidden = hidden;
  model.compute = compute;
  return model;
}

/// A model that is computed operation by operation.
inline TestModel plain(ModelKind kind, Cell cell, int64_t hidden) {
  return model_of(kind, cell, hidden, {.backend = Backend::kPlain});
}

/// A model that is computed by our kernels.
inline TestModel fused(ModelKind kind, Cell cell, int64_t hidden,
                       Precision precision = Precision::kFp32) {
  return model_of(kind, cell, hidden, {.backend = Backend::kFused, .precision = precision});
}

/// Each model with a memory, one layer, computed plain: both kinds, every cell, both forms of the
/// GRU.
inline std::vector<TestModel> plain_recurrent_models(int64_t hidden) {
  std::vector<TestModel> models;
  for (const auto kind : {ModelKind::kScratch, ModelKind::kConcise}) {
    for (const auto cell : {Cell::kRnn, Cell::kRnnRelu, Cell::kGru, Cell::kLstm}) {
      models.push_back(plain(kind, cell, hidden));
    }
  }
  models.push_back(plain(ModelKind::kScratch, Cell::kGru, hidden));
  models.back().gru_reset = GruReset::kAfter;
  return models;
}

/// The same models, computed fused.
inline std::vector<TestModel> fused_recurrent_models(int64_t hidden) {
  auto models = plain_recurrent_models(hidden);
  for (auto& model : models) {
    model.compute.backend = Backend::kFused;
  }
  return models;
}

/// Each model with a memory, one layer, computed plain and fused.
inline std::vector<TestModel> recurrent_models(int64_t hidden) {
  auto models = plain_recurrent_models(hidden);
  const auto others = fused_recurrent_models(hidden);
  models.insert(models.end(), others.begin(), others.end());
  return models;
}

/// Every model there is: recurrent_models, the MLP and LSTMs of two layers.
inline std::vector<TestModel> all_models(int64_t hidden) {
  auto models = recurrent_models(hidden);
  models.push_back(plain(ModelKind::kScratch, Cell::kMlp, hidden));
  for (const auto& model : {plain(ModelKind::kConcise, Cell::kLstm, hidden),
                            fused(ModelKind::kConcise, Cell::kLstm, hidden)}) {
    models.push_back(model);
    models.back().layers = 2;
  }
  return models;
}

}  // namespace unroll
