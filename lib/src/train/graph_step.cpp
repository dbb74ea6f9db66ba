#include "train/graph_step.h"

#include <string>
#include <utility>

#include "kernels/cuda/kernel_name.h"
#include "kernels/cuda/shapes.h"
#include "train/progress.h"
#include "unroll/error.h"

namespace unroll {

GraphStep::GraphStep(SequenceModel& net, Updater& updater, TrainProgress& progress,
                     const StepOptions& options, std::unique_ptr<CudaGraph> graph,
                     FallbackCallback on_fallback, const CudaKernels* kernels,
                     std::unique_ptr<DeviceSum> device_sum)
    : work_(net, updater, options, std::move(device_sum)),
      progress_(progress),
      graph_(std::move(graph)),
      on_fallback_(std::move(on_fallback)),
      kernels_(kernels),
      sums_(zero_sums(net.device())) {}

void GraphStep::run(const Batch& batch, bool reset_state) {
  wait();  // before the model does
  own_sums();
  const auto& net = work_.model();
  const auto state = reset_state ? net.begin_state(batch.X.size(0)) : progress_.carry;
  auto carry = empty_like(state);
  work_.gradient_sum().before_step(batch.Y.numel());
  progress_.sums.tokens += work_.run(batch, state, sums_, carry);
  work_.gradient_sum().after_step();
  progress_.carry = std::move(carry);
  ++progress_.sums.steps;
  epoch_.reset();  // the carried state is elsewhere now
}

void GraphStep::run_batch(const Epoch& epoch, int64_t k) {
  if (!epoch.has_corpus()) {
    wait();  // before whoever makes the batch does
    TrainStep::run_batch(epoch, k);
    return;
  }
  if (!epoch_ || !epoch_->is_same(epoch) || k != next_ || k >= epoch.size()) {
    begin(epoch, k);
  }
  own_sums();
  if (!captured_) {
    wait();  // before a model that asks for values does, or a capture
  }
  work_.gradient_sum().before_step(epoch.rows() * epoch.num_steps());
  if (captured_) {
    graph_->replay();
  } else if (!can_capture_) {
    train();
  } else if (warm_ups_ < kWarmUps) {
    graph_->warm_up([&] { train(); });
    ++warm_ups_;
  } else {
    capture();
  }
  work_.gradient_sum().after_step();
  next_ = k + 1;
  progress_.carry = carry_;
  progress_.sums.tokens += tokens_;
  ++progress_.sums.steps;
}

void GraphStep::prepare(const Epoch& epoch) {
  const auto options = torch::dtype(torch::kInt64).device(epoch.device());
  const bool fits = corpus_.defined() && corpus_.is_same(epoch.corpus()) &&
                    starts_.size(0) >= epoch.size() && starts_.size(1) == epoch.rows() &&
                    steps_.size(0) == epoch.num_steps() + 1 && epoch_ &&
                    epoch_->carries_state() == epoch.carries_state();
  // The rows of one rank alone may be as many as before.
  if (work_.gradient_sum().all_agree(fits)) {
    return;
  }
  captured_ = false;
  warm_ups_ = 0;
  corpus_ = epoch.corpus();
  // Epochs of one corpus differ by a batch, as their offsets differ.
  starts_ = torch::zeros({epoch.size() + 1, epoch.rows()}, options);
  position_ = torch::zeros({1}, options);
  steps_ = torch::arange(epoch.num_steps() + 1, options).unsqueeze(1);
  carry_ = work_.model().begin_state(epoch.rows());
}

void GraphStep::begin(const Epoch& epoch, int64_t k) {
  epoch.check_batch(k);
  wait();  // before the copies from the host do
  prepare(epoch);
  starts_.narrow(0, 0, epoch.size()).copy_(epoch.starts());
  position_.fill_(k);
  if (epoch.carries_state()) {
    const auto first = work_.model().begin_state(epoch.rows());
    for (std::size_t i = 0; i < carry_.size(); ++i) {
      if (k == 0) {
        carry_[i].copy_(first[i]);
      } else if (!carry_[i].is_same(progress_.carry.at(i))) {
        carry_[i].copy_(progress_.carry[i]);
      }
    }
  }
  epoch_ = epoch;
}

void GraphStep::own_sums() {
  auto& sums = progress_.sums;
  if (sums.loss.defined() && sums.loss.is_same(sums_.loss)) {
    return;
  }
  const auto take = [](torch::Tensor& from, torch::Tensor& own) {
    if (from.defined()) {
      own.copy_(from);
    } else {
      own.zero_();
    }
    from = own;
  };
  take(sums.loss, sums_.loss);
  take(sums.grad_norm, sums_.grad_norm);
  take(sums.nonfinite, sums_.nonfinite);
}

void GraphStep::train() {
  const int64_t T = steps_.size(0) - 1;
  const auto tokens = cut_batch();
  const Batch batch{tokens.narrow(0, 0, T).t(), tokens.narrow(0, 1, T).t()};
  const auto state = epoch_->carries_state() ? carry_ : work_.model().begin_state(starts_.size(1));
  tokens_ = work_.run(batch, state, sums_, carry_);
}

torch::Tensor GraphStep::cut_batch() {
  const int64_t B = starts_.size(1);
  const int64_t rows = steps_.size(0);
  const auto type = corpus_.scalar_type();
  const bool is_known = type == torch::kUInt8 || type == torch::kInt32 || type == torch::kInt64;
  if (kernels_ != nullptr && is_known && corpus_.is_contiguous() &&
      kernels_->have({cuda::kCutBatch}, corpus_.device())) {
    auto tokens = torch::empty({rows, B}, starts_.options());
    kernels_->run(
        cuda::kCutBatch,
        cuda::BatchArguments{.corpus = corpus_.const_data_ptr(),
                             .token_bytes = static_cast<int>(corpus_.element_size()),
                             .starts = starts_.const_data_ptr<int64_t>(),
                             .position = position_.mutable_data_ptr<int64_t>(),
                             .rows = B,
                             .tokens = rows,
                             .batch = tokens.mutable_data_ptr<int64_t>(),
                             .arrivals = nullptr},
        kernels_->blocks_for((rows * B + cuda::kThreads - 1) / cuda::kThreads, corpus_.device()),
        sizeof(int), corpus_.device(), workspace_);
    return tokens;
  }
  const auto places = steps_ + starts_.index_select(0, position_);
  position_.add_(1);
  return corpus_.index_select(0, places.view(-1)).to(torch::kInt64).view({rows, B});
}

void GraphStep::capture() {
  std::string problem;
  try {
    graph_->capture([&] { train(); });
  } catch (const Error& error) {
    problem = error.what();
  }
  // The sums of a captured step and of another do not meet.
  captured_ = work_.gradient_sum().all_agree(problem.empty());
  if (!captured_) {
    can_capture_ = false;
    graph_.reset();
    if (on_fallback_) {
      on_fallback_(problem.empty() ? "another rank cannot capture its steps" : problem);
    }
  }
  if (captured_) {
    graph_->replay();
  } else {
    train();
  }
}

}  // namespace unroll
