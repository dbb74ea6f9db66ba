#pragma once

#include <torch/types.h>

#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "unroll/model.h"

namespace unroll {

/// The notebook's `sgd`: p -= lr * grad / batch_size, then the gradient is zeroed.
/// The loss here is a mean already, so training calls it with batch_size 1.
void sgd(const std::vector<torch::Tensor>& params, double lr, int64_t batch_size);

/// Clips the gradients, seen as one vector g: g <- min(1, theta/||g||) g.
///
/// One norm over all parameters. Returns ||g|| before clipping as a scalar tensor on the
/// gradients' device, which is not waited for. theta <= 0 only measures.
/// Pascanu et al. 2013, https://arxiv.org/abs/1211.5063
torch::Tensor grad_clipping(const std::vector<torch::Tensor>& params, double theta);

/// The same over a model's weights.
torch::Tensor grad_clipping(const SequenceModel& net, double theta);

/// Changes parameters by their gradients: sgd on raw tensors or any torch::optim, one face.
class Updater {
 public:
  virtual ~Updater() = default;

  /// Makes all gradients zero, or none.
  virtual void zero_grad() = 0;

  /// Changes the parameters by their gradients.
  virtual void step() = 0;

  /// The same, unless `skip`, a scalar float32 on the parameters' device, is 1 instead of 0; then
  /// neither the parameters nor state() change. This one waits for the device; those that
  /// make_updater makes for a CUDA device do not.
  virtual void step_unless(const torch::Tensor& skip);

  /// Learning rate.
  virtual void set_lr(double lr) = 0;

  /// What the updater remembers between steps, by stable names; plain SGD remembers nothing.
  /// The live tensors, not copies.
  virtual NamedTensors state() const = 0;

  /// Goes on from what state() returned. Throws Error when a name or shape does not fit.
  virtual void load_state(const NamedTensors& state) = 0;
};

/// Which updater.
enum class Optimizer { kSgd, kAdam, kAdamW };

/// The name that parse_optimizer reads.
std::string_view to_string(Optimizer optimizer);

/// `sgd`, `adam` or `adamw`; throws UsageError otherwise.
Optimizer parse_optimizer(std::string_view name);

/// How gradients become steps.
struct UpdaterOptions {
  Optimizer optimizer = Optimizer::kSgd;  ///< which updater
  double lr = 1;                          ///< learning rate, until set_lr
  double momentum = 0;                    ///< of sgd
  std::optional<double> weight_decay;     ///< empty: torch::optim's own, 0.01 for adamw, else 0
};

/// Throws UsageError unless every option is in range, and momentum is sgd's.
void check(const UpdaterOptions& options);

/// As in the notebook: our own `sgd` for a model on raw tensors, torch::optim::SGD for a module;
/// torch::optim for both where there is momentum or weight decay, and for Adam and AdamW. On a CUDA
/// device LibTorch's fused kernels of the same formulas, which take the learning rate, the count of
/// steps and whether to step at all from the device.
/// The model must outlive the updater. Throws UsageError as check does.
std::unique_ptr<Updater> make_updater(SequenceModel& net, const UpdaterOptions& options);

/// The same without momentum, and with torch::optim's own weight decay.
std::unique_ptr<Updater> make_updater(SequenceModel& net, Optimizer optimizer, double lr);

/// How the learning rate goes on after the warm-up.
enum class Schedule {
  kConstant,  ///< as it is
  kCosine,    ///< half a cosine from the learning rate down to `min_lr` at the last epoch's end
  kPlateau,   ///< times `decay` whenever the perplexity has not been better for `patience` epochs
};

/// The name that parse_schedule reads.
std::string_view to_string(Schedule schedule);

/// `constant`, `cosine` or `plateau`; throws UsageError otherwise.
Schedule parse_schedule(std::string_view name);

/// How the learning rate changes while training.
struct ScheduleOptions {
  Schedule schedule = Schedule::kConstant;  ///< after the warm-up
  double warmup = 0;     ///< epochs, or a part of one, over which the learning rate rises from 0
  double min_lr = 0;     ///< where cosine ends and below which plateau does not go
  double decay = 0.5;    ///< factor of plateau
  int64_t patience = 5;  ///< of plateau: times that the perplexity is looked at and is not better

  bool operator==(const ScheduleOptions&) const = default;
};

/// Throws UsageError unless every option is in range for this learning rate.
void check(const ScheduleOptions& options, double lr);

/// The best perplexity seen so far, and how long that is ago.
struct Best {
  double perplexity = std::numeric_limits<double>::infinity();
  int64_t epoch = 0;    ///< that reached it
  int64_t waiting = 0;  ///< times that it was looked at since and was not better
  int64_t stale = 0;    ///< the same, counted anew after each decay on a plateau
  int64_t decays = 0;   ///< of the learning rate, on a plateau

  /// Takes an epoch's perplexity in; whether it is the best. Not-a-number is not.
  bool update(int64_t at_epoch, double value, const ScheduleOptions& options);
};

/// Learning rate of the step that begins after `done` epochs, a fraction counting the running
/// one's batches, and ends after `done + step`, of a training of so many epochs.
///
/// Cosine: Loshchilov & Hutter 2017, https://arxiv.org/abs/1608.03983, without restarts.
double learning_rate(const ScheduleOptions& options, double lr, double done, double step,
                     int64_t epochs, const Best& best);

}  // namespace unroll
