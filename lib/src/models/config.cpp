
#include "base/fields.h"
#include "base/formatted.h"
#include "models/cell_kind.h"
#include "unroll/compute.h"
#include "unroll/error.h"

namespace unroll {

ModelConfig resolved(const ModelConfig& config) {
  ModelConfig result = config;
  if (!result.model) {
    const bool scratch = config.layers == 1 || config.cell == Cell::kMlp;
    result.model = scratch ? ModelKind::kScratch : ModelKind::kConcise;
  }
  if (config.cell == Cell::kGru && !config.gru_reset) {
    result.gru_reset = result.model == ModelKind::kScratch ? GruReset::kBefore : GruReset::kAfter;
  }
  return result;
}

CellKind cell_kind(const ModelConfig& config) {
  switch (config.cell) {
    case Cell::kRnn:
      return CellKind::kRnn;
    case Cell::kRnnRelu:
      return CellKind::kRnnRelu;
    case Cell::kLstm:
      return CellKind::kLstm;
    case Cell::kGru:
      return resolved(config).gru_reset == GruReset::kBefore ? CellKind::kGruBefore
                                                             : CellKind::kGruAfter;
    case Cell::kMlp:
      break;
  }
  throw UsageError("the mlp cell has no recurrence");
}

ModelConfig scratch_config(CellKind cell) {
  ModelConfig config{.model = ModelKind::kScratch};
  switch (cell) {
    case CellKind::kRnn:
      config.cell = Cell::kRnn;
      break;
    case CellKind::kRnnRelu:
      config.cell = Cell::kRnnRelu;
      break;
    case CellKind::kLstm:
      config.cell = Cell::kLstm;
      break;
    case CellKind::kGruBefore:
    case CellKind::kGruAfter:
      config.cell = Cell::kGru;
      config.gru_reset = cell == CellKind::kGruBefore ? GruReset::kBefore : GruReset::kAfter;
      break;
  }
  return config;
}

void check(const ModelConfig& config) {
  check_ranges(config);
  const auto model = resolved(config);
  const bool scratch = model.model == ModelKind::kScratch;
  if (scratch && config.layers > 1) {
    throw UsageError(formatted("the scratch model has 1 layer, got {}; the concise model has more",
                               config.layers));
  }
  if (config.dropout > 0 && config.layers == 1) {
    throw UsageError(
        formatted("dropout acts between layers, got dropout {} with 1 layer", config.dropout));
  }
  if (!scratch && config.cell == Cell::kMlp) {
    throw UsageError("the mlp cell is a scratch model's, got model concise");
  }
  if (config.gru_reset && config.cell != Cell::kGru) {
    throw UsageError(
        formatted("gru-reset belongs to the gru cell, got cell {}", to_string(config.cell)));
  }
  if (!scratch && model.gru_reset == GruReset::kBefore) {
    throw UsageError("the concise gru resets after the product, got gru-reset before");
  }
}

void check(const ModelConfig& config, const Compute& compute) {
  check(config);
  if (compute.backend == Backend::kFused && config.cell == Cell::kMlp) {
    throw UsageError("the mlp cell has no recurrence to fuse; choose compute plain or auto");
  }
  if (compute.backend == Backend::kCudnn && config.cell == Cell::kMlp) {
    throw UsageError("cuDNN has no mlp cell; choose compute plain or auto");
  }
  if (compute.backend == Backend::kCudnn && !table_of(cell_kind(config)).has_torch_form) {
    throw UsageError(
        "cuDNN's gru resets after the product; choose gru-reset after, or compute auto");
  }
  if (compute.backend == Backend::kPlain && config.dropout > 0 && compute.generator) {
    throw UsageError("a generator of your own is the fused backend's, got compute plain");
  }
  const bool plain = compute.backend == Backend::kPlain || config.cell == Cell::kMlp;
  if (plain && compute.precision != Precision::kFp32) {
    throw UsageError(formatted("precision {} is the fused backend's, got {}",
                               to_string(compute.precision),
                               compute.backend == Backend::kPlain ? "compute plain" : "cell mlp"));
  }
}

double training_flops_per_token(const ModelConfig& config, int64_t vocab_size) {
  check(config);
  const auto V = static_cast<double>(vocab_size);
  const auto H = static_cast<double>(config.hidden);
  const auto L = static_cast<double>(config.layers);
  const double G = config.cell == Cell::kMlp ? 0 : gate_count(cell_kind(config));
  // W_h of every layer, W_x of those above the first, W_hq; a multiply-add is two operations, and
  // there are three products.
  return 6 * (G * H * H * (2 * L - 1) + H * V);
}

}  // namespace unroll
