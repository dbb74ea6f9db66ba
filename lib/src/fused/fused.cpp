#include "unroll/fused.h"

#include <ATen/core/ivalue.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <span>
#include <utility>
#include <vector>

#include "base/formatted.h"
#include "cuda_part/cuda_part.h"
#include "fused/cuda_decoder.h"
#include "fused/cuda_layers.h"
#include "fused/layout.h"
#include "fused/tensor_pointers.h"
#include "kernels/cpu/decoder.h"
#include "kernels/cpu/language_model.h"
#include "kernels/cpu/rows.h"
#include "unroll/error.h"
#include "unroll/scratch.h"

namespace unroll {
namespace {

using cpu::LanguageModelPass;
using Tensors = std::vector<torch::Tensor>;

cpu::StatePointers pointers(const State& state) {
  return {.h = !state.empty() && state[0].defined() ? state[0].data_ptr<float>() : nullptr,
          .c = state.size() > 1 && state[1].defined() ? state[1].data_ptr<float>() : nullptr};
}

// One call of the node: what it computes from and in.
struct Call : torch::CustomClassHolder {
  Layout layout{};
  std::shared_ptr<LanguageModelPass> pass;  // null once its memory has served the backward pass
  torch::Tensor tokens;  // (T,B) int64, or undefined: then the last tensor is the input
  torch::Tensor labels;  // (T,B) int64, or undefined: then the result is logits
  double dropout = 0;    // between the layers
  Tensors masks;         // (T,B,H) of each layer but the last, if there is dropout
  bool with_backward = false;
};

void check_tokens(std::span<const int64_t> tokens, int64_t V, const char* what) {
  const auto bad =
      std::find_if(tokens.begin(), tokens.end(), [&](int64_t v) { return v < 0 || v >= V; });
  if (bad != tokens.end()) {
    throw Error(formatted("{} must be in [0, {}), got {}", what, V, *bad));
  }
}

// The kernels read tokens where they lie.
void check_indices(const torch::Tensor& indices, const char* what) {
  if (!indices.device().is_cpu() || indices.scalar_type() != torch::kInt64 || indices.dim() != 2) {
    throw Error(formatted("{} must be (B,T) int64 on the CPU, got {} dimensions of {} on {}", what,
                          indices.dim(), c10::toString(indices.scalar_type()),
                          indices.device().str()));
  }
}

std::span<const int64_t> span_of(const torch::Tensor& tokens) {
  return {tokens.data_ptr<int64_t>(), static_cast<std::size_t>(tokens.numel())};
}

// Arguments: the weights, the states, then the input if it is not tokens. Results: logits or loss,
// then the states.
class FusedFunction : public torch::autograd::Function<FusedFunction> {
 public:
  static Tensors forward(torch::autograd::AutogradContext* context,
                         const c10::intrusive_ptr<Call>& call, at::TensorList tensors) {
    const auto weights = weight_count(call->layout);
    const auto states = state_count(call->layout);
    const auto parameters = parameters_of(call->layout, tensors.slice(0, weights));
    const int64_t V = parameters.output.W_hq.columns;

    State state;
    for (std::size_t i = weights; i < weights + states; ++i) {
      state.push_back(tensors[i].contiguous());
    }
    const auto& inputs = call->tokens.defined() ? call->tokens : tensors.back();
    const int64_t steps = inputs.size(0);
    const int64_t B = inputs.size(1);
    check_inputs(*call, tensors, parameters, B);
    auto& pass = *call->pass;
    if (call->tokens.defined()) {
      check_tokens(span_of(call->tokens), V, "a token");
      const auto masks = draw_masks(*call, {steps, B, parameters.output.W_hq.rows});
      pass.forward(call->tokens.data_ptr<int64_t>(), steps, B, parameters, pointers(state),
                   call->with_backward, masks);
    } else {
      const auto x = inputs.contiguous();
      pass.forward(x.data_ptr<float>(), x.size(2), steps, B, parameters, pointers(state),
                   call->with_backward);
    }

    Tensors results;
    if (call->labels.defined()) {
      check_tokens(span_of(call->labels), V, "a label");
      const double loss = pass.mean_cross_entropy(call->labels.data_ptr<int64_t>());
      results.push_back(torch::scalar_tensor(loss, torch::kFloat32));
    } else {
      results.push_back(torch::empty({steps * B, V}, torch::kFloat32));
      cpu::copy_rows_out(pass.logits(), 0, steps * B, V, results[0].data_ptr<float>());
    }
    State after;
    for (const auto& s : state) {
      after.push_back(torch::empty_like(s));
    }
    pass.copy_state(pointers(after));
    results.insert(results.end(), after.begin(), after.end());

    context->set_materialize_grads(false);
    context->saved_data["call"] = c10::IValue::make_capsule(call);
    if (call->with_backward) {
      // Only their shapes are needed: the products read packed copies.
      context->saved_data["tensors"] = tensors.vec();
    }
    return results;
  }

  static Tensors backward(torch::autograd::AutogradContext* context, const Tensors& upstream) {
    const auto call =
        c10::static_intrusive_pointer_cast<Call>(context->saved_data["call"].toCapsule());
    if (torch::GradMode::is_enabled()) {
      throw Error("a fused model has no second derivatives; use scratch with create_graph");
    }
    if (!call->pass) {
      throw Error("a fused model's graph can be differentiated once; compute the loss again");
    }
    const auto tensors = context->saved_data["tensors"].toTensorVector();
    const auto weights = weight_count(call->layout);
    const auto states = state_count(call->layout);
    auto& pass = *call->pass;
    seed_logits_gradient(*call, upstream[0]);

    State state_gradient;
    for (std::size_t i = 0; i < states; ++i) {
      state_gradient.push_back(contiguous_or_undefined(upstream[1 + i]));
    }
    Tensors gradients;
    for (std::size_t i = 0; i < weights; ++i) {
      // Of W_x only the rows of tokens that occur are written.
      gradients.push_back(call->tokens.defined() && has_row_of_each_token(call->layout, i)
                              ? torch::zeros_like(tensors[i])
                              : torch::empty_like(tensors[i]));
    }
    pass.backward(parameters_of(call->layout, gradients), pointers(state_gradient));

    const auto needed = [&](std::size_t i) { return context->needs_input_grad(i); };
    State before(states);
    if (needed(weights) || needed(weights + states - 1)) {
      for (std::size_t i = 0; i < states; ++i) {
        before[i] = torch::empty_like(tensors[weights + i], torch::MemoryFormat::Contiguous);
      }
      pass.copy_state_gradient(pointers(before));
    }
    gradients.insert(gradients.end(), before.begin(), before.end());
    if (!call->tokens.defined()) {
      torch::Tensor dx;
      if (needed(weights + states)) {
        dx = torch::empty_like(tensors.back(), torch::MemoryFormat::Contiguous);
        pass.copy_input_gradient(dx.data_ptr<float>());
      }
      gradients.push_back(dx);
    }
    gradients.insert(gradients.begin(), torch::Tensor());  // the call itself
    // A loss that is kept must not keep the memory.
    call->pass.reset();
    call->masks.clear();
    context->saved_data.erase("tensors");
    return gradients;
  }

 private:
  // The states, the input and the labels against the weights and each other.
  static void check_inputs(const Call& call, at::TensorList tensors,
                           const cpu::ModelParameters& parameters, int64_t B) {
    const int64_t H = parameters.output.W_hq.rows;
    const int64_t V = parameters.output.W_hq.columns;
    const auto weights = weight_count(call.layout);
    const int64_t steps = call.tokens.defined() ? call.tokens.size(0) : tensors.back().size(0);
    if (steps < 1 || B < 1) {
      throw Error(
          formatted("a batch must have at least 1 sequence of 1 step, got {} of {}", B, steps));
    }
    for (const auto& state : tensors.slice(weights, state_count(call.layout))) {
      if (call.layout.concise) {
        check_shape(state, {call.layout.layers, B, H}, "a state");
      } else {
        check_shape(state, {B, H}, "a state");
      }
    }
    const int64_t columns = parameters.layers.front().gates.front().W_x.rows;
    if (!call.tokens.defined()) {
      check_shape(tensors.back(), {tensors.back().size(0), B, columns}, "the inputs");
    } else if (columns != V) {
      throw Error(formatted("W_x must have a row for each of {} tokens, got {}", V, columns));
    }
    if (call.labels.defined()) {
      check_shape(call.labels, call.tokens.sizes(), "the labels, by step,");
    }
  }

  // What each layer's outputs (T,B,H) are multiplied by, drawn as at::dropout draws it for
  // torch::nn's layers: the same state of the generator gives the same masks.
  static std::vector<const float*> draw_masks(Call& call, at::IntArrayRef sizes) {
    std::vector<const float*> masks;
    for (int64_t l = 1; call.dropout > 0 && l < call.layout.layers; ++l) {
      auto mask = torch::empty(sizes, torch::kFloat32);
      mask.bernoulli_(1 - call.dropout).div_(1 - call.dropout);
      masks.push_back(mask.const_data_ptr<float>());
      call.masks.push_back(std::move(mask));
    }
    return masks;
  }

  // The gradient by the logits takes their place.
  static void seed_logits_gradient(const Call& call, const torch::Tensor& upstream) {
    auto& to = call.pass->logits_gradient();
    if (!call.labels.defined() || !upstream.defined()) {
      const auto gradient = contiguous_or_undefined(upstream);
      cpu::copy_rows_in(gradient.defined() ? gradient.data_ptr<float>() : nullptr, to.rows(),
                        to.columns(), to);
      return;
    }
    const auto factor = upstream.item<float>();
    if (factor != 1.0F) {
      cpu::scale(factor, to);
    }
  }
};

// How many bf16 stand for a value in the CPU kernels' products; 0: float32.
int parts_of(Precision precision) {
  switch (precision) {
    case Precision::kBf16:
      return 1;
    case Precision::kBf16x3:
      return 2;
    case Precision::kFp32:
      break;
  }
  return 0;
}

bool all_float_on_cpu(at::TensorList tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [](const torch::Tensor& t) {
    return t.device().is_cpu() && t.scalar_type() == torch::kFloat32;
  });
}

// What the kernels of these tensors' device multiply; nothing where there are none, or none for
// tensors that are not float32.
std::optional<cuda::Operands> operands_on_device(const CudaKernels* kernels, Precision precision,
                                                 const ModelConfig& config, int64_t batch_size,
                                                 at::TensorList tensors) {
  const bool all_float = std::all_of(tensors.begin(), tensors.end(), [](const auto& t) {
    return t.scalar_type() == torch::kFloat32;
  });
  if (kernels == nullptr || !all_float) {
    return std::nullopt;
  }
  return operands_of(*kernels, precision, layout_of(config).cell, batch_size, config.hidden,
                     tensors.front().device());
}

std::pair<torch::Tensor, State> run(const c10::intrusive_ptr<Call>& call, const Tensors& tensors) {
  call->with_backward =
      torch::GradMode::is_enabled() &&
      std::any_of(tensors.begin(), tensors.end(), [](const auto& t) { return t.requires_grad(); });
  auto results = FusedFunction::apply(call, at::TensorList(tensors));
  return {results[0], State(results.begin() + 1, results.end())};
}

// Over weights that are packed once.
class FusedDecoder : public Decoder {
 public:
  FusedDecoder(const Layout& layout, at::TensorList weights, int64_t batch_size)
      : decoder_(layout.cell, batch_size, parameters_of(layout, weights)),
        vocab_size_(weights.back().numel()),
        logits_(static_cast<std::size_t>(batch_size * vocab_size_)) {}

  std::span<const float> step(std::span<const int64_t> tokens) override {
    check_step(tokens, logits_.size() / static_cast<std::size_t>(vocab_size_));
    check_tokens(tokens, vocab_size_, "a token");
    const auto& logits = decoder_.step(tokens);
    cpu::copy_rows_out(logits, 0, logits.rows(), vocab_size_, logits_.data());
    return logits_;
  }

 private:
  cpu::Decoder decoder_;
  int64_t vocab_size_;
  std::vector<float> logits_;
};

// A forward function from scratch: the fused one, or `plain` where there is no fused one.
std::pair<torch::Tensor, State> run_scratch(CellKind cell, decltype(rnn)* plain,
                                            const torch::Tensor& inputs, const State& state,
                                            const NamedTensors& params) {
  auto tensors = values(params);
  tensors.insert(tensors.end(), state.begin(), state.end());
  tensors.push_back(inputs);
  const Layout layout{.cell = cell, .concise = false, .layers = 1};
  const bool complete =
      params.size() == weight_count(layout) && state.size() == state_count(layout);
  if (!complete || !all_float_on_cpu(tensors)) {
    return plain(inputs, state, params);
  }
  const auto call = c10::make_intrusive<Call>();
  call->layout = layout;
  call->pass = std::make_shared<LanguageModelPass>(cell, 1, state.at(0).size(-1));
  return run(call, tensors);
}

}  // namespace

// The memory of a pass serves again once the graph that was computed in it is gone.
class FusedModel::Passes {
 public:
  Passes(CellKind cell, int64_t layers, int64_t hidden, int parts)
      : cell_(cell), layers_(layers), hidden_(hidden), parts_(parts) {}

  std::shared_ptr<LanguageModelPass> take() {
    const auto free = std::find_if(passes_.begin(), passes_.end(),
                                   [](const auto& pass) { return pass.use_count() == 1; });
    if (free != passes_.end()) {
      return *free;
    }
    passes_.push_back(std::make_shared<LanguageModelPass>(cell_, layers_, hidden_, parts_));
    return passes_.back();
  }

 private:
  CellKind cell_;
  int64_t layers_;
  int64_t hidden_;
  int parts_;
  std::vector<std::shared_ptr<LanguageModelPass>> passes_;
};

FusedModel::FusedModel(std::unique_ptr<SequenceModel> model, const ModelConfig& config)
    : model_(std::move(model)), config_(parameter_model(config)), precision_(config.precision) {
  const auto layout = layout_of(config_);
  const int64_t hidden = hidden_of(layout, values(model_->weights()));
  if (hidden != config_.hidden) {
    throw Error(
        formatted("the model has {} hidden units, its description {}", hidden, config_.hidden));
  }
  require_supported(config, model_->device());
  passes_ =
      std::make_unique<Passes>(layout.cell, layout.layers, hidden, parts_of(config.precision));
  if (config.cuda_kernels && model_->device().is_cuda()) {
    const auto& cuda = cuda_part();
    if (cuda.part == nullptr) {
      throw Error(formatted("the fused model has no kernels on {}: {}", model_->device().str(),
                            cuda.problem));
    }
    kernels_ = &cuda.part->kernels();
  }
}

FusedModel::~FusedModel() = default;

bool FusedModel::has_kernels(int64_t batch_size) const {
  const auto weights = values(model_->weights());
  return all_float_on_cpu(weights) ||
         operands_on_device(kernels_, precision_, config_, batch_size, weights);
}

Precision FusedModel::precision(int64_t batch_size) const {
  const auto weights = values(model_->weights());
  if (all_float_on_cpu(weights)) {
    return precision_;
  }
  return operands_on_device(kernels_, precision_, config_, batch_size, weights) ==
                 cuda::Operands::kBf16
             ? Precision::kBf16
             : Precision::kFp32;
}

Precision precision_of(const SequenceModel& model, int64_t batch_size) {
  const auto* fused = dynamic_cast<const FusedModel*>(&model);
  return fused == nullptr ? Precision::kFp32 : fused->precision(batch_size);
}

std::pair<torch::Tensor, State> FusedModel::run(const torch::Tensor& X, const torch::Tensor& Y,
                                                const State& state) {
  auto tensors = values(model_->weights());
  tensors.insert(tensors.end(), state.begin(), state.end());
  if (const auto operands = operands_on_device(kernels_, precision_, config_, X.size(0), tensors)) {
    auto [logits, after] = run_on_cuda(*kernels_, layout_of(config_), values(model_->weights()), X,
                                       state, is_training() ? config_.dropout : 0, *operands);
    return {Y.defined() ? torch::cross_entropy_loss(logits, Y.t().reshape({-1})) : logits,
            std::move(after)};
  }
  if (!all_float_on_cpu(tensors)) {
    return Y.defined() ? model_->loss({X, Y}, state) : model_->forward(X, state);
  }
  const auto call = c10::make_intrusive<Call>();
  call->layout = layout_of(config_);
  if (state.size() != state_count(call->layout)) {
    throw Error(formatted("this cell has {} state tensors, got {}", state_count(call->layout),
                          state.size()));
  }
  check_indices(X, "tokens");
  if (Y.defined()) {
    check_indices(Y, "labels");
  }
  call->pass = passes_->take();
  call->dropout = is_training() ? config_.dropout : 0;
  call->tokens = X.t().contiguous();
  call->labels = Y.defined() ? Y.t().contiguous() : Y;
  return unroll::run(call, tensors);
}

std::unique_ptr<Decoder> FusedModel::make_decoder(int64_t batch_size) {
  const auto tensors = values(model_->weights());
  const auto layout = layout_of(config_);
  if (operands_on_device(kernels_, precision_, config_, batch_size, tensors) &&
      can_decode(*kernels_, layout, tensors, batch_size)) {
    return std::make_unique<CudaDecoder>(*kernels_, layout, *model_, batch_size);
  }
  if (!all_float_on_cpu(tensors)) {
    return model_->make_decoder(batch_size);
  }
  return std::make_unique<FusedDecoder>(layout_of(config_), tensors, batch_size);
}

std::pair<torch::Tensor, State> FusedModel::forward(const torch::Tensor& X, const State& state) {
  return run(X, {}, state);
}

std::pair<torch::Tensor, State> FusedModel::loss(const Batch& batch, const State& state) {
  return run(batch.X, batch.Y, state);
}

std::pair<torch::Tensor, State> fused_rnn(const torch::Tensor& inputs, const State& state,
                                          const NamedTensors& params) {
  return run_scratch(CellKind::kRnn, rnn, inputs, state, params);
}

std::pair<torch::Tensor, State> fused_gru(const torch::Tensor& inputs, const State& state,
                                          const NamedTensors& params) {
  return run_scratch(CellKind::kGruBefore, gru, inputs, state, params);
}

std::pair<torch::Tensor, State> fused_gru_reset_after(const torch::Tensor& inputs,
                                                      const State& state,
                                                      const NamedTensors& params) {
  return run_scratch(CellKind::kGruAfter, gru_reset_after, inputs, state, params);
}

std::pair<torch::Tensor, State> fused_lstm(const torch::Tensor& inputs, const State& state,
                                           const NamedTensors& params) {
  return run_scratch(CellKind::kLstm, lstm, inputs, state, params);
}

}  // namespace unroll
