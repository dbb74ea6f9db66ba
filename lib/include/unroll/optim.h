#pragma once

#include <torch/types.h>

#include <cstdint>
#include <functional>
#include <limits>
#include <memory>
#include <optional>
#include <vector>

#include "unroll/model.h"
#include "unroll/options.h"

namespace torch::optim {
class Optimizer;
}

#pragma GCC visibility push(default)
namespace unroll {

/// The notebook's `sgd`: p -= lr * grad / batch_size, then the gradient is zeroed.
/// The loss here is a mean already, so training calls it with batch_size 1.
void sgd(const std::vector<torch::Tensor>& params, double lr, int64_t batch_size);

/// Clips the gradients, seen as one vector g: g <- min(1, theta/||g||) g.
///
/// One norm over all parameters. Returns ||g|| before clipping as a scalar tensor on the
/// gradients' device, without waiting for it. theta <= 0 only measures.
/// Pascanu et al. 2013, https://arxiv.org/abs/1211.5063
torch::Tensor grad_clipping(const std::vector<torch::Tensor>& params, double theta);

/// The same over those of a model's weights that require a gradient.
torch::Tensor grad_clipping(const SequenceModel& net, double theta);

/// Changes parameters by their gradients: sgd on raw tensors, or any torch::optim.
class Updater {
 public:
  virtual ~Updater() = default;

  /// Sets all gradients to zero, or removes them.
  virtual void zero_grad() = 0;

  /// Changes the parameters by their gradients.
  virtual void step() = 0;

  /// Like step(), unless `skip`, a scalar float32 on the parameters' device, is 1 instead of 0.
  /// Then neither the parameters nor state() change. This default waits for the device. The
  /// updaters that make_updater makes for a CUDA device do not.
  virtual void step_unless(const torch::Tensor& skip);

  /// Learning rate.
  virtual void set_lr(double lr) = 0;

  /// What the updater remembers between steps, by stable names; plain SGD remembers nothing.
  /// The live tensors, not copies.
  virtual NamedTensors state() const = 0;

  /// Restores what state() returned. Throws Error if a name or shape does not fit.
  virtual void load_state(const NamedTensors& state) = 0;
};

/// Which updater.
enum class Optimizer { kSgd, kAdam, kAdamW };
constexpr auto enum_names(Optimizer) {
  return enum_table<Optimizer>(
      "optimizer",
      {{Optimizer::kSgd, "sgd"}, {Optimizer::kAdam, "adam"}, {Optimizer::kAdamW, "adamw"}});
}

/// Makes an optimiser for the weights that are trained.
using MakeOptimizer =
    std::function<std::unique_ptr<torch::optim::Optimizer>(std::vector<torch::Tensor> weights)>;

/// How gradients become steps.
///
/// With `own`, the other fields but lr have no effect. The learning rates of its groups are those
/// that it was made with, times what the schedule makes of `lr`, over `lr`. A checkpoint keeps its
/// state as LibTorch serialises it, but not the function: a resumed training must be given it
/// again.
///
///     UpdaterOptions rmsprop{.own = [](std::vector<torch::Tensor> weights) {
///       return std::make_unique<torch::optim::RMSprop>(std::move(weights), 0.001);
///     }};
struct UpdaterOptions {
  Optimizer optimizer = Optimizer::kSgd;    ///< which updater
  double lr = 1;                            ///< learning rate, until set_lr
  double momentum = 0;                      ///< of sgd
  std::optional<double> weight_decay = {};  ///< empty: torch::optim's own, 0.01 for adamw, else 0
  MakeOptimizer own = {};                   ///< an optimiser of your own in place of all these

  template <typename Self, typename Visitor>
  static void fields(Self& self, const Visitor& visit) {
    // float32 ends at 3.4e38; Adam's first steps are 10 lr.
    visit(self.lr, {"lr", "X", "learning rate", above_to(0, 3e37)});
    visit(self.optimizer, {"optimizer", "NAME", "{}"});
    visit(self.momentum, {"momentum", "X", "momentum of sgd", from_to_below(0, 1)});
    visit(self.weight_decay,
          {"weight-decay", "X", "weight decay (default: 0.01 for adamw, else 0)", at_least(0)});
  }
};

/// Throws UsageError unless every option is in range, and momentum is sgd's.
void check(const UpdaterOptions& options);

/// The updater for the options. Plain sgd is the notebook's, which gives the same bits as
/// torch::optim::SGD. With momentum or weight decay, and for Adam and AdamW, it is torch::optim's.
/// On a CUDA device kernels of the same formulas, ours or LibTorch's fused ones, take the learning
/// rate, the count of steps and whether to step at all from the device. The model must outlive the
/// updater.
///
/// Weights that do not require a gradient are not trained, and the updater remembers nothing of
/// them. Throws UsageError as check does, or if `own` makes no optimizer; Error if no weight
/// requires a gradient, or one that does is not a leaf.
std::unique_ptr<Updater> make_updater(SequenceModel& net, const UpdaterOptions& options);

/// The learning rate after the warm-up.
enum class Schedule {
  kConstant,  ///< does not change
  kCosine,    ///< half a cosine from the learning rate down to `min_lr` at the last epoch's end
  kPlateau,   ///< is multiplied by `decay` after `patience` epochs without a better perplexity
};
constexpr auto enum_names(Schedule) {
  return enum_table<Schedule>("schedule", {{Schedule::kConstant, "constant"},
                                           {Schedule::kCosine, "cosine"},
                                           {Schedule::kPlateau, "plateau"}});
}

/// How the learning rate changes while training.
struct ScheduleOptions {
  Schedule schedule = Schedule::kConstant;  ///< after the warm-up
  double warmup = 0;     ///< epochs, or a part of one, over which the learning rate rises from 0
  double min_lr = 0;     ///< where cosine ends; plateau does not go below it
  double decay = 0.5;    ///< factor of plateau
  int64_t patience = 5;  ///< of plateau: measurements without a better perplexity before a decay

  bool operator==(const ScheduleOptions&) const = default;

  template <typename Self, typename Visitor>
  static void fields(Self& self, const Visitor& visit) {
    visit(self.schedule, {"schedule", "NAME", "how the learning rate changes: {}"});
    visit(self.warmup,
          {"warmup", "X", "epochs over which the learning rate rises from 0", at_least(0)});
    visit(self.min_lr,
          {"min-lr", "X", "the lowest learning rate of cosine and plateau", at_least(0)});
    visit(self.decay, {"lr-decay", "X", "factor of the learning rate on a plateau", between(0, 1)});
    visit(self.patience, {"lr-patience", "N",
                          "epochs (validations) without a better one before a decay on a plateau",
                          from_to(1, 2147483647)});
  }
};

/// Throws UsageError unless every option is in range for this learning rate.
void check(const ScheduleOptions& options, double lr);

/// The best perplexity seen so far, and how long ago that was.
struct Best {
  double perplexity = std::numeric_limits<double>::infinity();  ///< the lowest
  int64_t epoch = 0;                                            ///< that reached it
  int64_t waiting = 0;  ///< measurements since then that were not better
  int64_t stale = 0;    ///< the same, from 0 again after each decay on a plateau
  int64_t decays = 0;   ///< of the learning rate, on a plateau

  /// Takes an epoch's perplexity. Returns whether it is the best; not-a-number never is.
  bool update(int64_t at_epoch, double value, const ScheduleOptions& options);
};

/// Learning rate of the step from `done` to `done + step`, counted in epochs and fractions of the
/// running one, of a training of `epochs` epochs.
///
/// Cosine: Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983, without restarts.
double learning_rate(const ScheduleOptions& options, double lr, double done, double step,
                     int64_t epochs, const Best& best);

}  // namespace unroll
#pragma GCC visibility pop
