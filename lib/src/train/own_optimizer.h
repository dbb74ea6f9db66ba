#pragma once

#include <torch/optim/optimizer.h>

#include <memory>
#include <vector>

#include "unroll/optim.h"

namespace unroll {

/// An optimizer that the user made. It remembers what its class serialises, as bytes, which are to
/// be read from files that are trusted only: LibTorch's archives hold code.
class OwnOptimizer : public Updater {
 public:
  /// `options.own` is there. Throws UsageError if it makes none.
  OwnOptimizer(std::vector<torch::Tensor> weights, const UpdaterOptions& options);

  void zero_grad() override;
  void step() override { optimizer_->step(); }
  void set_lr(double lr) override;
  NamedTensors state() const override;
  void load_state(const NamedTensors& state) override;

 private:
  std::vector<torch::Tensor> weights_;
  std::unique_ptr<torch::optim::Optimizer> optimizer_;
  double lr_;                    // of the options, which the groups' own are relative to
  std::vector<double> own_lrs_;  // of each group of parameters
};

}  // namespace unroll
