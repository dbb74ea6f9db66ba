#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "unroll/model.h"
#include "unroll/precision.h"

namespace unroll {

/// Who computes: our own formulas, torch::nn's layers, or fused kernels over the parameters of one
/// of these.
enum class ModelKind { kScratch, kConcise, kFused };

/// Which recurrence.
enum class Cell { kRnn, kGru, kLstm, kMlp };

/// Whether the GRU's reset gate acts before the product with W_hh (the book) or after (torch::nn).
enum class GruReset { kBefore, kAfter };

/// The names that the parsers below read.
std::string_view to_string(ModelKind kind);
std::string_view to_string(Cell cell);
std::string_view to_string(GruReset reset);

/// Each throws UsageError for a name that is not listed.
ModelKind parse_model_kind(std::string_view name);  ///< `scratch`, `concise`, `fused`
Cell parse_cell(std::string_view name);             ///< `rnn`, `gru`, `lstm`, `mlp`
GruReset parse_gru_reset(std::string_view name);    ///< `before`, `after`

/// Description of a model; with a vocabulary size it is enough to build one.
struct ModelConfig {
  ModelKind model =
      ModelKind::kFused;   ///< who computes; for the mlp cell kScratch, which alone has it
  Cell cell = Cell::kRnn;  ///< which recurrence
  int64_t hidden = 512;    ///< H, hidden units of a layer
  int64_t layers = 1;      ///< L, layers; the scratch model has one
  double dropout = 0;      ///< share of a layer's outputs that the next does not get in training
  std::optional<GruReset> gru_reset;       ///< empty: before for scratch, after for concise
  Precision precision = Precision::kFp32;  ///< of a fused model's training; no part of a checkpoint
  /// Whether a fused model has kernels of its own on a CUDA device too, where it else computes as
  /// the model whose parameters it has (docs/gpu.md). No part of a checkpoint.
  bool cuda_kernels = false;

  bool operator==(const ModelConfig&) const = default;
};

/// The model whose parameters such a model has: itself, but for a fused one the scratch model of
/// one layer or the concise one of more. Its gru_reset is filled in.
ModelConfig parameter_model(const ModelConfig& config);

/// The reset form that the description stands for, its default filled in.
GruReset gru_reset(const ModelConfig& config);

/// Throws UsageError when the description is out of range or contradicts itself.
void check(const ModelConfig& config);

/// Number of values in all weights of such a model for V tokens.
int64_t parameter_count(const ModelConfig& config, int64_t vocab_size);

/// Floating-point operations of one token's training step: twice the multiply-adds of the products
/// with weights, forward, by the input and by the weights. Looking a token's row up counts nothing,
/// as a one-hot product adds nothing to it.
double training_flops_per_token(const ModelConfig& config, int64_t vocab_size);

/// Throws Error unless a model on this device can compute in this precision: bf16x3 needs a CPU
/// with AMX, bf16 that or CUDA.
void require_supported(Precision precision, torch::Device device);

/// The same for such a model: on a CUDA device bf16 needs cuda_kernels.
void require_supported(const ModelConfig& config, torch::Device device);

/// A new model with freshly drawn weights. Throws UsageError as check does, Error for a precision
/// that the CPU or the device does not have.
std::unique_ptr<SequenceModel> make_model(const ModelConfig& config, int64_t vocab_size,
                                          torch::Device device);

}  // namespace unroll
