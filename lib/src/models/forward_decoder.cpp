#include "models/forward_decoder.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "models/arguments.h"

namespace unroll {

ForwardDecoder::ForwardDecoder(SequenceModel& model, int64_t batch_size) : model_(model) {
  check_batch_size(batch_size);
  tokens_ = torch::empty({batch_size, 1}, torch::kInt64);
  state_ = model.begin_state(batch_size);
}

std::span<const float> ForwardDecoder::step(std::span<const int64_t> tokens) {
  check_step(tokens, tokens_.numel(), model_.vocab_size());
  const Inference inference(model_);
  std::copy(tokens.begin(), tokens.end(), tokens_.data_ptr<int64_t>());
  auto [logits, next] = model_.forward(tokens_.to(model_.device()), state_);
  state_ = std::move(next);
  logits_ = logits.to(torch::kCPU, torch::kFloat32).contiguous();
  return {logits_.data_ptr<float>(), static_cast<std::size_t>(logits_.numel())};
}

}  // namespace unroll
