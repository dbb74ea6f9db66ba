#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "unroll/model.h"
#include "unroll/options.h"
#include "unroll/tensors.h"

#pragma GCC visibility push(default)
namespace unroll {

/// Whose parameters a model has: the notebook's own tensors, or those of torch::nn's layers.
enum class ModelKind { kScratch, kConcise };
constexpr auto enum_names(ModelKind) {
  return enum_table<ModelKind>(
      "model", {{ModelKind::kScratch, "scratch"}, {ModelKind::kConcise, "concise"}});
}

/// Which recurrence.
enum class Cell { kRnn, kRnnRelu, kGru, kLstm, kMlp };
constexpr auto enum_names(Cell) {
  return enum_table<Cell>("cell", {{Cell::kRnn, "rnn"},
                                   {Cell::kRnnRelu, "rnn-relu"},
                                   {Cell::kGru, "gru"},
                                   {Cell::kLstm, "lstm"},
                                   {Cell::kMlp, "mlp"}});
}

/// Whether the GRU's reset gate acts before the product with W_hh (the book) or after (torch::nn).
enum class GruReset { kBefore, kAfter };
constexpr auto enum_names(GruReset) {
  return enum_table<GruReset>("gru-reset",
                              {{GruReset::kBefore, "before"}, {GruReset::kAfter, "after"}});
}

/// What is computed. With a vocabulary size it is enough to build a model.
struct ModelConfig {
  std::optional<ModelKind> model = {};  ///< empty: scratch, or concise for several layers
  Cell cell = Cell::kRnn;               ///< which recurrence
  int64_t hidden = 512;                 ///< H, hidden units of a layer
  int64_t layers = 1;                   ///< L, layers; the scratch model has one
  double dropout = 0;  ///< share of a layer's outputs that is dropped before the next, in training
  std::optional<GruReset> gru_reset = {};  ///< empty: before for scratch, after for concise

  bool operator==(const ModelConfig&) const = default;

  template <typename Self, typename Visitor>
  static void fields(Self& self, const Visitor& visit) {
    // W_hh of the most hidden units takes 4 TiB; beyond these, sizes would begin to overflow.
    visit(self.model, {"model", "KIND",
                       "scratch: the notebook's own tensors; concise: torch::nn's layers "
                       "(default: scratch, concise for several layers)"});
    visit(self.cell, {"cell", "CELL", "{}; mlp is the ablation without memory"});
    visit(self.hidden, {"hidden", "H", "hidden units of a layer", from_to(1, 1 << 20)});
    visit(self.layers,
          {"layers", "L", "layers; more than one needs a concise model", from_to(1, 1024)});
    visit(self.dropout,
          {"dropout", "P",
           "share of a layer's outputs that is dropped before the next layer, in training",
           from_to_below(0, 1)});
    visit(self.gru_reset, {"gru-reset", "WHEN",
                           "the GRU's reset gate before or after the product (default: before for "
                           "scratch, after for concise)"});
  }
};

/// Who computes.
enum class Backend {
  /// The fastest that can compute the model: our kernels, on a GPU cuDNN, else plain. Where it is
  /// not known which of the first two is faster on a GPU, a training begins by timing them, so that
  /// another run may choose otherwise; both give the same numbers up to rounding.
  kAuto,
  kPlain,  ///< the model's own formulas, operation by operation
  kFused,  ///< one autograd node over our kernels, with a backward pass written by hand
  kCudnn,  ///< on a CUDA device: cuDNN's layer over the model's weights, whichever they are
};
constexpr auto enum_names(Backend) {
  return enum_table<Backend>("compute", {{Backend::kAuto, "auto"},
                                         {Backend::kPlain, "plain"},
                                         {Backend::kFused, "fused"},
                                         {Backend::kCudnn, "cudnn"}});
}

/// The precision of the products of the fused backend and of cuDNN. On a CPU it applies to all
/// products, in our kernels for a CUDA device to those with W_h, forward and backward. The weights
/// and their update, all sums, and there gates and an LSTM's cell state are always float32. cuDNN
/// has states and gates in bf16 too.
///
/// On a CPU the hidden states of an RNN or LSTM, and the gradients by gates, are stored in this
/// precision. So what is computed from them, such as the state after a batch and the gradients of
/// biases, is no more precise.
enum class Precision {
  kFp32,    ///< float32
  kBf16x3,  ///< each operand as two bf16, three products instead of one: nearly as exact as float32
  kBf16,    ///< operands rounded to bf16, 8 significant bits
};
constexpr auto enum_names(Precision) {
  return enum_table<Precision>(
      "precision",
      {{Precision::kFp32, "fp32"}, {Precision::kBf16x3, "bf16x3"}, {Precision::kBf16, "bf16"}});
}

/// Whether steps on a CUDA device are captured once as a CUDA graph and then replayed.
enum class GraphMode {
  kAuto,  ///< captured on a CUDA device wherever that is possible
  kOn,    ///< the same, but refused on other devices
  kOff,   ///< operation by operation
};
constexpr auto enum_names(GraphMode) {
  return enum_table<GraphMode>(
      "graph", {{GraphMode::kAuto, "auto"}, {GraphMode::kOn, "on"}, {GraphMode::kOff, "off"}});
}

/// How a model is computed. This is not part of the model: every backend gives the same results up
/// to rounding, so the same weights can be used with any.
///
///     #include <ATen/CPUGeneratorImpl.h>
///     make_model({.cell = Cell::kLstm, .layers = 2, .dropout = 0.5}, V, torch::kCPU,
///                {.generator = at::make_generator<at::CPUGeneratorImpl>(seed)});
struct Compute {
  Backend backend = Backend::kAuto;        ///< who computes
  Precision precision = Precision::kFp32;  ///< of the fused backend and of cuDNN
  GraphMode graph = GraphMode::kAuto;      ///< of training steps on a CUDA device
  /// What dropout draws from, in the fused backend; empty: LibTorch's default generator of the
  /// device, which all threads share. With generators of their own, models that are trained by
  /// several threads give the numbers that each gives alone.
  std::optional<at::Generator> generator = {};
  /// With kAuto: who is taken without timing, if it can; kAuto leaves it open.
  Backend preferred = Backend::kAuto;

  bool operator==(const Compute&) const = default;

  template <typename Self, typename Visitor>
  static void fields(Self& self, const Visitor& visit) {
    visit(self.backend, {"compute", "BACKEND",
                         "plain: operation by operation; fused: our kernels; cudnn: NVIDIA's "
                         "layers, on a GPU; auto: the fastest that can"});
    visit(self.precision,
          {"precision", "NAME", "of the products, but for plain: fp32, bf16x3 (CPU only) or bf16"});
    visit(self.graph,
          {"graph", "WHEN",
           "on CUDA, capture a step as a graph and replay it: on, off, or auto, where possible"});
  }
};

/// The description with its defaults filled in: model, and of a GRU gru_reset.
ModelConfig resolved(const ModelConfig& config);

/// Throws UsageError when the description is out of range or contradicts itself.
void check(const ModelConfig& config);

/// Throws UsageError when such a model cannot be computed so on any device.
void check(const ModelConfig& config, const Compute& compute);

/// Number of values in all weights of such a model for V tokens.
int64_t parameter_count(const ModelConfig& config, int64_t vocab_size);

/// Floating-point operations of one token's training step: twice the multiply-adds of the products
/// with weights, forward, by the input and by the weights. Looking up a token's row of W_x does not
/// count.
double training_flops_per_token(const ModelConfig& config, int64_t vocab_size);

/// Whether this CPU has the instructions: every CPU for float32, one with AMX for bf16.
bool is_supported(Precision precision);

/// Throws Error, which names what is missing, unless the device can compute so: bf16x3 needs a CPU
/// with AMX, bf16 that or kernels or cuDNN on CUDA; compute cudnn and graph on need CUDA.
void require_supported(const Compute& compute, torch::Device device);

/// Why there are no captured steps and no kernels on CUDA devices: no GPU, or a build without the
/// CUDA part. Empty if there are.
const std::string& cuda_part_problem();

/// Why our kernels compute nothing on a CUDA device, or not all that they should: the above, a GPU
/// that is too old, no NVRTC, or one that could not be compiled or loaded. Empty if they do.
std::string cuda_kernels_problem(torch::Device device);

/// A new model with freshly drawn weights.
///
///     const auto net = make_model({.cell = Cell::kLstm, .hidden = 256}, vocab.size(), device);
///
/// Throws UsageError as check does, Error as require_supported does.
std::unique_ptr<SequenceModel> make_model(const ModelConfig& config, int64_t vocab_size,
                                          torch::Device device, const Compute& compute = {});

/// Wraps a model so that it is computed as `compute` says. The weights stay the model's own.
///
/// The fused backend serves float32 weights, on a CPU, and on a CUDA device where the weights fit
/// in the GPU's multiprocessors; cuDNN serves those of cells that torch::nn has. Everything else is
/// computed plain (SequenceModel::effective_compute says what is in force). Decoders are always
/// float32. On a CPU the same weights give the same results for any number of threads, and dropout
/// draws the same numbers from LibTorch's generator as the plain model. The graph can be
/// differentiated once, without create_graph. One thread may use a model at a time.
///
/// What the kernels compute is taken from the model itself (SequenceModel::config). Of a model
/// without description, such as an own cell, Backend::kAuto is plain, and kFused throws Error.
///
///     auto fused = computed_as(net, {});  // net: std::shared_ptr<RNNModel>, of another module too
///
/// Throws as make_model does, and UsageError for null.
std::unique_ptr<SequenceModel> computed_as(std::shared_ptr<SequenceModel> model,
                                           const Compute& compute);

/// The same for a model that must be `config`. Throws Error, naming what differs, if it is not.
std::unique_ptr<SequenceModel> computed_as(std::shared_ptr<SequenceModel> model,
                                           const ModelConfig& config, const Compute& compute);

/// A one-layer model's weights as the scratch model of the same cell holds them: the notebook's
/// names, order and shapes. A concise model's two biases of a gate become one, their sum.
/// Throws UsageError for more than one layer, Error for weights of another model.
NamedTensors scratch_weights(const ModelConfig& config, const NamedTensors& weights);

/// The gradients of such weights, likewise. A weight without gradient counts as zero.
NamedTensors scratch_gradients(const ModelConfig& config, const NamedTensors& weights);

/// The inverse of scratch_weights: what torch::nn's layer of this cell holds for the same function.
/// Its second bias of a gate is zero, but for the GRU's candidate, which takes b_hh.
/// Throws UsageError for a cell that torch::nn lacks (mlp), Error for weights of another cell.
NamedTensors concise_weights(Cell cell, const NamedTensors& scratch);

}  // namespace unroll
#pragma GCC visibility pop
