#include "fused/computed_model.h"

#include <algorithm>

#include "cuda_part/cuda_part.h"
#include "models/arguments.h"
#include "unroll/error.h"

namespace unroll {

ComputedModel::ComputedModel(std::shared_ptr<SequenceModel> model, const Compute& compute)
    : model_(std::move(model)), graph_(GraphMode::kOff), generator_(compute.generator) {
  const auto device = model_->device();
  if (device.is_cuda()) {
    const bool can = cuda_part().part != nullptr;
    const bool is_wanted =
        compute.graph == GraphMode::kOn || (compute.graph == GraphMode::kAuto && can);
    // A graph replays the default generator's draws alone.
    graph_ = is_wanted && !generator_ ? GraphMode::kOn : GraphMode::kOff;
  }
  if (compute.backend != Backend::kPlain) {
    const auto config = model_->config();
    has_dropout_ = config.dropout > 0;
    if (device.is_cpu()) {
      engines_.push_back(make_cpu_engine(*model_, config, compute));
    } else if (device.is_cuda()) {
      if (compute.backend != Backend::kCudnn) {
        engines_.push_back(make_cuda_engine(*model_, config, compute));
      }
      if (compute.backend != Backend::kFused) {
        engines_.push_back(make_cudnn_engine(*model_, config, compute));
      }
    }
  }
  engines_.push_back(make_plain_engine(*model_));
  std::erase(engines_, nullptr);
  require_own_generator(*engines_.front());
}

Compute ComputedModel::effective_compute(int64_t batch_size) const {
  const auto tensors = values(model_->weights());
  const auto& used = engine(batch_size, tensors);
  return {.backend = used.backend(),
          .precision = used.precision(batch_size, tensors).value(),
          .graph = graph_,
          .generator = generator_};
}

std::unique_ptr<Decoder> ComputedModel::make_decoder(int64_t batch_size) {
  check_batch_size(batch_size);
  for (const auto& engine : engines_) {
    if (auto decoder = engine->make_decoder(batch_size)) {
      return decoder;
    }
  }
  throw Error("a model without a decoder");  // the plain engine has one
}

std::pair<torch::Tensor, State> ComputedModel::forward(const torch::Tensor& X, const State& state) {
  return run({checked_tokens(X, vocab_size(), device()), {}}, state);
}

std::pair<torch::Tensor, State> ComputedModel::loss(const Batch& batch, const State& state) {
  return run(checked_batch(batch, vocab_size(), device()), state);
}

std::pair<torch::Tensor, State> ComputedModel::run(const Batch& batch, const State& state) {
  auto tensors = values(model_->weights());
  tensors.insert(tensors.end(), state.begin(), state.end());
  auto& used = engine(batch.X.size(0), tensors);
  if (is_training()) {
    require_own_generator(used);
  }
  return used.run(tensors, batch, state);
}

void ComputedModel::require_own_generator(const Engine& used) const {
  if (generator_ && has_dropout_ && used.backend() == Backend::kPlain) {
    throw Error(
        "dropout is computed plain here, and draws from LibTorch's default generator instead of "
        "the model's own");
  }
}

Engine& ComputedModel::engine(int64_t batch_size, at::TensorList tensors) const {
  return **std::find_if(engines_.begin(), engines_.end(), [&](const auto& engine) {
    return engine->precision(batch_size, tensors).has_value();
  });
}

}  // namespace unroll
