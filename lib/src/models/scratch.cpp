#include "unroll/scratch.h"

#include "base/formatted.h"
#include "tensors/one_hot.h"
#include "unroll/error.h"

namespace unroll {

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
  params_ = get_params(vocab_size, num_hiddens, device);
}

std::pair<torch::Tensor, State> RNNModelScratch::forward(const torch::Tensor& X,
                                                         const State& state) {
  const auto inputs = one_hot(X.t(), vocab_size_, params_.front().tensor.scalar_type());
  return forward_fn_(inputs, state, params_);
}

State RNNModelScratch::begin_state(int64_t batch_size) const {
  return init_state_(batch_size, num_hiddens_, device_);
}

}  // namespace unroll
