#include "fused/computed_model.h"

#include <c10/core/impl/VirtualGuardImpl.h>

#include <span>

#include "cuda_part/cuda_part.h"
#include "fused/engine_choice.h"
#include "layers/cudnn.h"
#include "models/arguments.h"
#include "models/cell_kind.h"
#include "unroll/error.h"

namespace unroll {

ComputedModel::ComputedModel(std::shared_ptr<SequenceModel> model, const Compute& compute)
    : model_(std::move(model)),
      asked_precision_(compute.precision),
      preferred_(compute.preferred),
      graph_(GraphMode::kOff),
      generator_(compute.generator) {
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
    hidden_ = config.hidden;
    if (config.cell != Cell::kMlp) {
      cell_ = cell_kind(config);
    }
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
  choose(batch_size, tensors);
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
  return run({checked_tokens(X, vocab_size(), device()), {}}, state, /*on_gradient=*/{});
}

std::pair<torch::Tensor, State> ComputedModel::loss(const Batch& batch, const State& state) {
  return reporting_loss(batch, state, /*on_gradient=*/{});
}

std::pair<torch::Tensor, State> ComputedModel::reporting_loss(const Batch& batch,
                                                              const State& state,
                                                              const GradientCallback& on_gradient) {
  return run(checked_batch(batch, vocab_size(), device()), state, on_gradient);
}

std::pair<torch::Tensor, State> ComputedModel::run(const Batch& batch, const State& state,
                                                   const GradientCallback& on_gradient) {
  auto tensors = values(model_->weights());
  tensors.insert(tensors.end(), state.begin(), state.end());
  auto& used = engine(batch.X.size(0), tensors);
  if (is_training()) {
    require_own_generator(used);
  }
  return used.run(tensors, batch, state, on_gradient);
}

void ComputedModel::require_own_generator(const Engine& used) const {
  if (generator_ && has_dropout_ && used.backend() == Backend::kPlain) {
    throw Error(
        "dropout is computed plain here, and draws from LibTorch's default generator instead of "
        "the model's own");
  }
}

std::vector<Engine*> ComputedModel::able_engines(int64_t batch_size, at::TensorList tensors) const {
  std::vector<Engine*> able;
  std::vector<Engine*> as_asked;
  for (const auto& engine : engines_) {
    if (const auto precision = engine->precision(batch_size, tensors)) {
      able.push_back(engine.get());
      if (precision == asked_precision_) {
        as_asked.push_back(engine.get());
      }
    }
  }
  return as_asked.empty() ? able : as_asked;
}

Engine& ComputedModel::engine(int64_t batch_size, at::TensorList tensors) const {
  const auto able = able_engines(batch_size, tensors);
  const auto chosen = chosen_.find(batch_size);
  for (auto* one : able) {
    if (chosen == chosen_.end() ? one->backend() == preferred_ : one == chosen->second) {
      return *one;
    }
  }
  return *able[is_left_to_cudnn(able, batch_size) ? 1 : 0];
}

bool ComputedModel::is_left_to_cudnn(const std::vector<Engine*>& able, int64_t batch_size) const {
  return able.size() > 1 && able[1]->backend() == Backend::kCudnn &&
         cudnn_is_faster(cell_, batch_size, hidden_);
}

void ComputedModel::choose(int64_t batch_size, at::TensorList tensors) const {
  const auto able = able_engines(batch_size, tensors);
  const bool is_open = able.size() > 1 && able[1]->backend() == Backend::kCudnn &&
                       preferred_ == Backend::kAuto && !has_dropout_;
  if (!is_open || chosen_.contains(batch_size)) {
    return;
  }
  constexpr int kMeasuredCapability = 90;
  const auto device = model_->device();
  const auto& cuda = cuda_part();
  if (asked_precision_ == Precision::kFp32 && kernels_are_faster(cell_, batch_size, hidden_) &&
      cuda.kernels->limits(device).capability == kMeasuredCapability) {
    chosen_.emplace(batch_size, able[0]);
    return;
  }
  // For its own work alone: another thread may be capturing a step of its own.
  StepTiming timing{.wait = [device] {
    c10::impl::VirtualGuardImpl(device.type()).getStream(device).synchronize();
  }};
  if (graph_ == GraphMode::kOn) {
    timing.make_graph = [&] { return cuda.part->make_graph(device); };
  }
  const auto seconds = step_seconds(std::span(able).first(2), *model_, batch_size, timing);
  // What is hardly faster now may be slower the next time.
  constexpr double kClearly = 1.1;
  const std::size_t estimated = is_left_to_cudnn(able, batch_size) ? 1 : 0;
  const std::size_t other = 1 - estimated;
  const bool is_other = kClearly * seconds[other] < seconds[estimated];
  chosen_.emplace(batch_size, able[is_other ? other : estimated]);
}

}  // namespace unroll
