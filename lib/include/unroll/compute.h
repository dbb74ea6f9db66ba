#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string_view>

#include "unroll/model.h"

namespace unroll {

/// What a fused model multiplies in. On a CUDA device its kernels take bf16 for the products with
/// W_h, there and back, and all else is float32. On a CPU it is all products. The weights and their
/// update are float32 in any case, and so are all sums, gates and an LSTM's cell state.
///
/// On a CPU the hidden states of an RNN and of an LSTM, and the gradients by gates, are kept as
/// precisely as they are multiplied: what is computed from them, such as the state that a batch
/// leaves and the gradients of biases, is no more precise.
enum class Precision {
  kFp32,    ///< float32
  kBf16x3,  ///< each operand as two bf16, three products for one: nearly float32's accuracy
  kBf16     ///< operands rounded to bf16, 8 significant bits
};

/// The name that parse_precision reads.
std::string_view to_string(Precision precision);

/// `fp32`, `bf16x3` or `bf16`; throws UsageError otherwise.
Precision parse_precision(std::string_view name);

/// Whether this CPU has the instructions: any has those for float32, one with AMX those for bf16.
bool is_supported(Precision precision);

/// Throws Error, which names what this CPU lacks, unless it is supported.
void require_supported(Precision precision);

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

/// A one-layer model's weights as the scratch model of the same cell holds them: the notebook's
/// names, order and shapes. A concise model's two biases of a gate become one, their sum.
/// Throws UsageError for more than one layer.
NamedTensors scratch_weights(const ModelConfig& config, const NamedTensors& weights);

/// The gradients of such weights, likewise. A weight without gradient counts as zero.
NamedTensors scratch_gradients(const ModelConfig& config, const NamedTensors& weights);

/// The inverse of scratch_weights: what torch::nn's layer of this cell holds for the same function.
/// Its second bias of a gate is zero, but for the GRU's candidate, which takes b_hh.
/// Throws UsageError for a cell that torch::nn has not (mlp).
NamedTensors concise_weights(Cell cell, const NamedTensors& scratch);

}  // namespace unroll
