#include "fused/engine_choice.h"

#include <ATen/Context.h>
#include <c10/util/Exception.h>
#include <torch/csrc/autograd/autograd.h>

#include <algorithm>
#include <cstddef>
#include <iterator>
#include <limits>
#include <mutex>
#include <utility>

#include "base/median.h"
#include "unroll/error.h"

namespace unroll {
namespace {

// Puts back what a training step may draw from, and the model's mode.
class Unchanged {
 public:
  explicit Unchanged(SequenceModel& model)
      : model_(model),
        was_training_(model.is_training()),
        generator_(at::globalContext().defaultGenerator(model.device())) {
    const std::lock_guard lock(generator_.mutex());
    state_ = generator_.get_state();
    model.train(true);  // cuDNN keeps nothing for the way back otherwise
  }
  ~Unchanged() {
    const std::lock_guard lock(generator_.mutex());
    generator_.set_state(state_);
    model_.train(was_training_);
  }
  Unchanged(const Unchanged&) = delete;
  Unchanged& operator=(const Unchanged&) = delete;

 private:
  SequenceModel& model_;
  bool was_training_;
  at::Generator generator_;
  torch::Tensor state_;
};

// A training step up to the gradients.
class Step {
 public:
  Step(SequenceModel& model, int64_t batch_size)
      : tensors_(values(model.weights())), state_(model.begin_state(batch_size)) {
    constexpr int64_t kSteps = 35;  // the notebook's
    const auto tokens =
        torch::arange(batch_size * kSteps, torch::dtype(torch::kInt64).device(model.device()))
            .remainder(model.vocab_size())
            .view({batch_size, kSteps});
    batch_ = {tokens, tokens};
    std::copy_if(tensors_.begin(), tensors_.end(), std::back_inserter(trained_),
                 [](const auto& weight) { return weight.requires_grad(); });
    tensors_.insert(tensors_.end(), state_.begin(), state_.end());
  }

  void run(Engine& engine) const {
    const at::AutoGradMode with_gradients(true);
    const auto loss = engine.run(tensors_, batch_, state_, /*on_gradient=*/{}).first;
    if (loss.requires_grad()) {
      torch::autograd::grad({loss}, trained_, /*grad_outputs=*/{}, /*retain_graph=*/std::nullopt,
                            /*create_graph=*/false, /*allow_unused=*/true);
    }
  }

 private:
  std::vector<torch::Tensor> tensors_;
  State state_;
  Batch batch_;
  std::vector<torch::Tensor> trained_;
};

// What is repeated to take its time, after it was done a few times.
std::function<void()> prepared(Engine& engine, const Step& step, const StepTiming& timing) {
  constexpr int kWarmUps = 3;
  const auto work = [&engine, &step] { step.run(engine); };
  const std::shared_ptr<CudaGraph> graph = timing.make_graph ? timing.make_graph() : nullptr;
  for (int i = 0; i < kWarmUps; ++i) {
    graph ? graph->warm_up(work) : work();
  }
  if (!graph) {
    return work;
  }
  graph->capture(work);
  return [graph] { graph->replay(); };
}

}  // namespace

std::vector<double> step_seconds(std::span<Engine* const> engines, SequenceModel& model,
                                 int64_t batch_size, const StepTiming& timing) {
  constexpr int kRounds = 5;
  constexpr int kStepsOfRound = 4;
  const Unchanged unchanged(model);
  const Step step(model, batch_size);
  std::vector<std::function<void()>> works(engines.size());
  std::vector<std::vector<double>> seconds(engines.size());
  const auto attempt = [&](std::size_t i, const auto& use) {
    try {
      use();
    } catch (const Error&) {  // as a step that cannot be captured
      works[i] = {};
    } catch (const c10::Error&) {  // as what cuDNN refuses, or finds no memory for
      works[i] = {};
    }
  };
  for (std::size_t i = 0; i < engines.size(); ++i) {
    attempt(i, [&] { works[i] = prepared(*engines[i], step, timing); });
  }
  for (int round = 0; round < kRounds; ++round) {
    for (std::size_t i = 0; i < engines.size(); ++i) {
      if (!works[i]) {
        continue;
      }
      attempt(i, [&] {
        timing.wait();
        const double begin = timing.now();
        for (int n = 0; n < kStepsOfRound; ++n) {
          works[i]();
        }
        timing.wait();
        seconds[i].push_back((timing.now() - begin) / kStepsOfRound);
      });
    }
  }
  std::vector<double> medians(engines.size(), std::numeric_limits<double>::infinity());
  for (std::size_t i = 0; i < engines.size(); ++i) {
    if (works[i]) {
      medians[i] = median(std::move(seconds[i]));
    }
  }
  return medians;
}

}  // namespace unroll
