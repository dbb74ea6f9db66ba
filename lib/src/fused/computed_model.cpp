#include "fused/computed_model.h"

#include <algorithm>

#include "cuda_part/cuda_part.h"

namespace unroll {

ComputedModel::ComputedModel(std::unique_ptr<SequenceModel> model, const ModelConfig& config,
                             const Compute& compute)
    : model_(std::move(model)), graph_(GraphMode::kOff) {
  const auto device = model_->device();
  if (device.is_cuda()) {
    const bool can = cuda_part().part != nullptr;
    const bool is_wanted =
        compute.graph == GraphMode::kOn || (compute.graph == GraphMode::kAuto && can);
    graph_ = is_wanted ? GraphMode::kOn : GraphMode::kOff;
  }
  if (compute.backend != Backend::kPlain && config.cell != Cell::kMlp) {
    if (device.is_cpu()) {
      engines_.push_back(make_cpu_engine(*model_, config, compute.precision));
    } else if (device.is_cuda()) {
      engines_.push_back(make_cuda_engine(*model_, config, compute.precision));
    }
  }
  engines_.push_back(make_plain_engine(*model_));
  std::erase(engines_, nullptr);
}

Compute ComputedModel::effective_compute(int64_t batch_size) const {
  const auto tensors = values(model_->weights());
  const auto& used = engine(batch_size, tensors);
  return {.backend = &used == engines_.back().get() ? Backend::kPlain : Backend::kFused,
          .precision = used.precision(batch_size, tensors).value(),
          .graph = graph_};
}

std::unique_ptr<Decoder> ComputedModel::make_decoder(int64_t batch_size) {
  return engine(batch_size, values(model_->weights())).make_decoder(batch_size);
}

std::pair<torch::Tensor, State> ComputedModel::run(const Batch& batch, const State& state) {
  auto tensors = values(model_->weights());
  tensors.insert(tensors.end(), state.begin(), state.end());
  return engine(batch.X.size(0), tensors).run(tensors, batch, state);
}

Engine& ComputedModel::engine(int64_t batch_size, at::TensorList tensors) const {
  return **std::find_if(engines_.begin(), engines_.end(), [&](const auto& engine) {
    return engine->precision(batch_size, tensors).has_value();
  });
}

}  // namespace unroll
