#include "unroll/scratch.h"

#include "base/formatted.h"
#include "models/arguments.h"
#include "tensors/leaves.h"
#include "tensors/one_hot.h"
#include "unroll/error.h"

namespace unroll {
namespace {

void check_parameters(const NamedTensors& params, torch::Device device) {
  if (params.empty()) {
    throw Error("get_params must give at least 1 parameter, got 0");
  }
  for (std::size_t i = 0; i < params.size(); ++i) {
    const auto& [name, tensor] = params[i];
    for (std::size_t j = 0; j < i; ++j) {
      if (params[j].name == name || params[j].tensor.is_same(tensor)) {
        throw Error(formatted("the parameters {} and {} must have names and tensors of their own",
                              params[j].name, name));
      }
    }
    if (!tensor.defined() || !tensor.is_floating_point()) {
      throw Error(formatted("the parameter {} must be of a floating-point dtype, got {}", name,
                            tensor.defined() ? c10::toString(tensor.scalar_type()) : "no tensor"));
    }
    check_device(tensor, device, formatted("the parameter {}", name));
  }
  require_leaves(params);
}

}  // namespace

RNNModelScratch::RNNModelScratch(int64_t vocab_size, int64_t num_hiddens, torch::Device device,
                                 const GetParams& get_params, InitState init_state,
                                 ForwardFn forward_fn)
    : vocab_size_(vocab_size),
      num_hiddens_(num_hiddens),
      device_(device),
      init_state_(std::move(init_state)),
      forward_fn_(std::move(forward_fn)) {
  if (vocab_size < 1 || num_hiddens < 1) {
    throw UsageError(formatted("a model needs vocabulary >= 1 and hidden >= 1, got {} and {}",
                               vocab_size, num_hiddens));
  }
  if (!get_params || !init_state_ || !forward_fn_) {
    throw UsageError("a model needs get_params, init_state and forward_fn, got an empty function");
  }
  params_ = get_params(vocab_size, num_hiddens, device);
  check_parameters(params_, device);
  state_form_ = std::make_shared<StateForm>(begin_state(1));
}

std::pair<torch::Tensor, State> RNNModelScratch::forward(const torch::Tensor& X,
                                                         const State& state) {
  const auto& weight = params_.front().tensor;
  const auto tokens = checked_tokens(X, vocab_size_, weight.device());
  state_form_->check(state, tokens.size(0), weight);
  const auto inputs = one_hot(tokens.t(), vocab_size_, weight.scalar_type());
  auto result = forward_fn_(inputs, state, params_);
  check_shape(result.first, {tokens.numel(), vocab_size_}, "the outputs of forward_fn");
  return result;
}

State RNNModelScratch::begin_state(int64_t batch_size) const {
  check_batch_size(batch_size);
  auto state = init_state_(batch_size, num_hiddens_, device_);
  const auto type = params_.front().tensor.scalar_type();
  for (auto& s : state) {
    if (s.defined() && s.is_floating_point() && s.scalar_type() != type) {
      s = s.to(type);
    }
  }
  return state;
}

}  // namespace unroll
