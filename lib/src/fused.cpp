#include "unroll/fused.h"

#include <ATen/core/ivalue.h>
#include <fmt/format.h>
#include <fmt/ranges.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <array>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/cpu/decoder.h"
#include "kernels/cpu/language_model.h"
#include "kernels/cpu/rows.h"
#include "unroll/error.h"
#include "unroll/gru_scratch.h"
#include "unroll/lstm_scratch.h"
#include "unroll/rnn_scratch.h"

namespace unroll {
namespace {

using cpu::CellKind;
using cpu::LanguageModelPass;
using Tensors = std::vector<torch::Tensor>;

CellKind kind_of(const ModelConfig& config) {
  switch (config.cell) {
    case Cell::kRnn:
      return CellKind::kRnn;
    case Cell::kLstm:
      return CellKind::kLstm;
    case Cell::kGru:
      return gru_reset(config) == GruReset::kBefore ? CellKind::kGruBefore : CellKind::kGruAfter;
    case Cell::kMlp:
      break;
  }
  throw UsageError("the mlp cell has no recurrence to fuse; choose rnn, gru or lstm");
}

// How a model's weights, in their order, make up its cells.
struct Layout {
  CellKind cell;
  bool concise;  // torch::nn's layout, else the scratch models'
  int64_t layers;
};

Layout layout_of(const ModelConfig& config) {
  return {.cell = kind_of(config),
          .concise = config.model == ModelKind::kConcise,
          .layers = config.layers};
}

// The kernels read and write by these sizes alone, so they are checked here.
void check_shape(const torch::Tensor& tensor, at::IntArrayRef expected, std::string_view what) {
  if (tensor.sizes() != expected) {
    throw Error(fmt::format("{} must have shape [{}], got [{}]", what, fmt::join(expected, ", "),
                            fmt::join(tensor.sizes(), ", ")));
  }
}

cpu::StridedMatrix matrix(const torch::Tensor& tensor, int64_t rows, int64_t columns) {
  check_shape(tensor, {rows, columns}, "a weight");
  return {tensor.data_ptr<float>(), rows, columns, tensor.stride(0), tensor.stride(1)};
}

float* bias(const torch::Tensor& tensor, int64_t size) {
  check_shape(tensor, {size}, "a bias");
  if (!tensor.is_contiguous()) {
    throw Error("a bias must be contiguous");
  }
  return tensor.data_ptr<float>();
}

// Where the gates of a kernel's cell stand in torch::nn's stacks.
std::vector<int64_t> torch_order(CellKind cell) {
  switch (cell) {
    case CellKind::kLstm:
      return {0, 1, 3, 2};  // i, f, o, g of i, f, g, o
    case CellKind::kGruBefore:
    case CellKind::kGruAfter:
      return {1, 0, 2};  // z, r, n of r, z, n
    case CellKind::kRnn:
      break;
  }
  return {0};
}

// One layer of torch::nn: weight_ih (GH,inputs), weight_hh (GH,H), bias_ih and bias_hh (GH).
cpu::LayerParameters concise_layer(CellKind cell, const torch::Tensor* tensors, int64_t inputs,
                                   int64_t H) {
  const int64_t gates = cpu::gate_count(cell);
  check_shape(tensors[0], {gates * H, inputs}, "weight_ih");
  const auto rows = [&](const torch::Tensor& stack, int64_t gate) {
    return stack.narrow(0, gate * H, H);
  };
  cpu::LayerParameters layer;
  const auto order = torch_order(cell);
  for (int64_t g = 0; g < gates; ++g) {
    const bool inside_reset = cell == CellKind::kGruAfter && g == 2;
    auto* b_hh = bias(rows(tensors[3], order[g]), H);
    layer.gates.push_back({.W_x = matrix(rows(tensors[0], order[g]).t(), inputs, H),
                           .W_h = matrix(rows(tensors[1], order[g]).t(), H, H),
                           .b = bias(rows(tensors[2], order[g]), H),
                           .b_again = inside_reset ? nullptr : b_hh});
    if (inside_reset) {
      layer.b_hh = b_hh;
    }
  }
  return layer;
}

// W_x (inputs,H), W_h (H,H) and b (H) of each gate, then b_hh (H) if the reset comes after.
cpu::LayerParameters scratch_layer(CellKind cell, const torch::Tensor* tensors, int64_t inputs,
                                   int64_t H) {
  cpu::LayerParameters layer;
  for (int64_t g = 0; g < cpu::gate_count(cell); ++g, tensors += 3) {
    layer.gates.push_back({.W_x = matrix(tensors[0], inputs, H),
                           .W_h = matrix(tensors[1], H, H),
                           .b = bias(tensors[2], H)});
  }
  if (cell == CellKind::kGruAfter) {
    layer.b_hh = bias(*tensors, H);
  }
  return layer;
}

// The kernels' view of a model's weights or of tensors shaped like them; the tensors must outlive
// it.
cpu::ModelParameters parameters_of(const Layout& layout, at::TensorList tensors) {
  cpu::ModelParameters parameters;
  const auto& stored = tensors[tensors.size() - 2];
  const auto W_hq = layout.concise ? stored.t() : stored;
  const int64_t H = W_hq.size(0);
  const int64_t V = W_hq.size(1);
  parameters.output = {.W_hq = matrix(W_hq, H, V), .b_q = bias(tensors.back(), V)};
  for (int64_t l = 0; l < layout.layers; ++l) {
    const int64_t inputs = l > 0 ? H : tensors[0].size(layout.concise ? 1 : 0);
    parameters.layers.push_back(layout.concise
                                    ? concise_layer(layout.cell, &tensors[4 * l], inputs, H)
                                    : scratch_layer(layout.cell, tensors.data(), inputs, H));
  }
  return parameters;
}

std::size_t weight_count(const Layout& layout) {
  const auto layers = static_cast<std::size_t>(layout.layers);
  const auto gates = static_cast<std::size_t>(cpu::gate_count(layout.cell));
  return 2 +
         (layout.concise ? 4 * layers : 3 * gates + (layout.cell == CellKind::kGruAfter ? 1 : 0));
}

// How many state tensors the cell has.
std::size_t states_of(const Layout& layout) { return layout.cell == CellKind::kLstm ? 2 : 1; }

cpu::StatePointers pointers(const State& state) {
  return {.h = !state.empty() && state[0].defined() ? state[0].data_ptr<float>() : nullptr,
          .c = state.size() > 1 && state[1].defined() ? state[1].data_ptr<float>() : nullptr};
}

torch::Tensor contiguous_or_undefined(const torch::Tensor& tensor) {
  return tensor.defined() ? tensor.contiguous() : tensor;
}

// One call of the node: what it computes from and in.
struct Call : torch::CustomClassHolder {
  Layout layout{};
  std::shared_ptr<LanguageModelPass> pass;
  torch::Tensor tokens;  // (T,B) int64, or undefined: then the last tensor is the input
  torch::Tensor labels;  // (T,B) int64, or undefined: then the result is logits
  bool with_backward = false;
  bool differentiated = false;
};

void check_tokens(std::span<const int64_t> tokens, int64_t V, const char* what) {
  const auto bad =
      std::find_if(tokens.begin(), tokens.end(), [&](int64_t v) { return v < 0 || v >= V; });
  if (bad != tokens.end()) {
    throw Error(fmt::format("{} must be in [0, {}), got {}", what, V, *bad));
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
    const auto states = states_of(call->layout);
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
      pass.forward(call->tokens.data_ptr<int64_t>(), steps, B, parameters, pointers(state),
                   call->with_backward);
    } else {
      const auto x = inputs.contiguous();
      pass.forward(x.data_ptr<float>(), x.size(2), steps, B, parameters, pointers(state),
                   call->with_backward);
    }

    Tensors results;
    if (call->labels.defined()) {
      check_tokens(span_of(call->labels), V, "a label");
      const double loss = pass.mean_cross_entropy(call->labels.data_ptr<int64_t>());
      results.push_back(torch::full({}, loss, torch::kFloat32));
    } else {
      results.push_back(torch::empty({steps * B, V}));
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
    if (std::exchange(call->differentiated, true)) {
      throw Error("a fused model's graph can be differentiated once; compute the loss again");
    }
    const auto tensors = context->saved_data["tensors"].toTensorVector();
    const auto weights = weight_count(call->layout);
    const auto states = states_of(call->layout);
    auto& pass = *call->pass;
    seed_logits_gradient(*call, upstream[0]);

    State state_gradient;
    for (std::size_t i = 0; i < states; ++i) {
      state_gradient.push_back(contiguous_or_undefined(upstream[1 + i]));
    }
    Tensors gradients;
    for (std::size_t i = 0; i < weights; ++i) {
      // Of W_x only the rows of tokens that occur are written.
      gradients.push_back(call->tokens.defined() ? torch::zeros_like(tensors[i])
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
    return gradients;
  }

 private:
  // The states, the input and the labels against the weights and each other.
  static void check_inputs(const Call& call, at::TensorList tensors,
                           const cpu::ModelParameters& parameters, int64_t B) {
    const int64_t H = parameters.output.W_hq.rows;
    const int64_t V = parameters.output.W_hq.columns;
    const auto weights = weight_count(call.layout);
    for (const auto& state : tensors.slice(weights, states_of(call.layout))) {
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
      throw Error(fmt::format("W_x must have a row for each of {} tokens, got {}", V, columns));
    }
    if (call.labels.defined()) {
      check_shape(call.labels, call.tokens.sizes(), "the labels, by step,");
    }
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

bool all_float_on_cpu(at::TensorList tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [](const torch::Tensor& t) {
    return t.device().is_cpu() && t.scalar_type() == torch::kFloat32;
  });
}

std::pair<torch::Tensor, State> run(const c10::intrusive_ptr<Call>& call, const Tensors& tensors) {
  call->with_backward =
      torch::GradMode::is_enabled() &&
      std::any_of(tensors.begin(), tensors.end(), [](const auto& t) { return t.requires_grad(); });
  auto results = FusedFunction::apply(call, at::TensorList(tensors));
  return {results[0], State(results.begin() + 1, results.end())};
}

// Packed weights, and no allocation in a step.
class FusedDecoder : public Decoder {
 public:
  FusedDecoder(const Layout& layout, at::TensorList weights, int64_t batch_size)
      : decoder_(layout.cell, batch_size, parameters_of(layout, weights)),
        vocab_size_(weights.back().numel()),
        logits_(static_cast<std::size_t>(batch_size * vocab_size_)) {}

  std::span<const float> step(std::span<const int64_t> tokens) override {
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
  const bool complete = params.size() == weight_count(layout) && state.size() == states_of(layout);
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
  Passes(CellKind cell, int64_t layers, int64_t hidden)
      : cell_(cell), layers_(layers), hidden_(hidden) {}

  std::shared_ptr<LanguageModelPass> take() {
    const auto free = std::find_if(passes_.begin(), passes_.end(),
                                   [](const auto& pass) { return pass.use_count() == 1; });
    if (free != passes_.end()) {
      return *free;
    }
    passes_.push_back(std::make_shared<LanguageModelPass>(cell_, layers_, hidden_));
    return passes_.back();
  }

 private:
  CellKind cell_;
  int64_t layers_;
  int64_t hidden_;
  std::vector<std::shared_ptr<LanguageModelPass>> passes_;
};

FusedModel::FusedModel(std::unique_ptr<SequenceModel> model, const ModelConfig& config)
    : model_(std::move(model)),
      config_(config),
      passes_(std::make_unique<Passes>(kind_of(config), config.layers, config.hidden)) {}

FusedModel::~FusedModel() = default;

std::pair<torch::Tensor, State> FusedModel::run(const torch::Tensor& X, const torch::Tensor& Y,
                                                const State& state) {
  auto tensors = values(model_->weights());
  tensors.insert(tensors.end(), state.begin(), state.end());
  if (!all_float_on_cpu(tensors)) {
    return Y.defined() ? model_->loss({X, Y}, state) : model_->forward(X, state);
  }
  const auto call = c10::make_intrusive<Call>();
  call->layout = layout_of(config_);
  call->pass = passes_->take();
  call->tokens = X.t().contiguous();
  call->labels = Y.defined() ? Y.t().contiguous() : Y;
  return unroll::run(call, tensors);
}

std::unique_ptr<Decoder> FusedModel::make_decoder(int64_t batch_size) {
  const auto tensors = values(model_->weights());
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
