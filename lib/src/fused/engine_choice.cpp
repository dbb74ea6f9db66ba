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

// Of a cell, up to so many hidden units, up to so many sequences.
struct Limit {
  int64_t hidden;
  int64_t batch_size;
};

template <std::size_t kCount>
bool is_within(const Limit (&limits)[kCount], int64_t batch_size, int64_t hidden) {
  const auto* limit = std::find_if(std::begin(limits), std::end(limits),
                                   [&](const Limit& l) { return hidden <= l.hidden; });
  return limit != std::end(limits) && batch_size <= limit->batch_size;
}

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
    const auto loss = engine.run(tensors_, batch_, state_).first;
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

bool kernels_are_faster(CellKind cell, int64_t batch_size, int64_t hidden) {
  constexpr Limit kOfRnn[] = {{256, 32}, {1024, 128}, {2048, 32}};
  constexpr Limit kOfLstm[] = {{512, 32}, {1024, 1}};
  constexpr Limit kOfGru[] = {{128, 0}, {512, 32}};
  return is_simple(cell) ? is_within(kOfRnn, batch_size, hidden)
         : has_c(cell)   ? is_within(kOfLstm, batch_size, hidden)
                         : is_within(kOfGru, batch_size, hidden);
}

bool cudnn_is_faster(CellKind cell, int64_t batch_size, int64_t hidden) {
  constexpr Limit kOfRnn[] = {{128, 64}, {512, 512}, {1024, 200}, {2048, 40}};
  constexpr Limit kOfLstm[] = {{128, 200}, {256, 200}, {512, 128}, {1024, 2}};
  constexpr Limit kOfGru[] = {{128, 16}, {256, 128}, {512, 64}, {1024, 2}};
  return !(is_simple(cell) ? is_within(kOfRnn, batch_size, hidden)
           : has_c(cell)   ? is_within(kOfLstm, batch_size, hidden)
                           : is_within(kOfGru, batch_size, hidden));
}

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
