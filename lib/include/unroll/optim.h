#pragma once

#include <torch/types.h>

#include <cstdint>
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

}  // namespace unroll
