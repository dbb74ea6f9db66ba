#pragma once

#include <torch/types.h>

#include <cstdint>
#include <memory>
#include <optional>

#include "cuda_part/cuda_graph.h"
#include "cuda_part/cuda_kernels.h"
#include "train/device_step.h"
#include "unroll/train.h"

namespace unroll {

/// A step that is captured once and replayed for every further batch.
///
/// All that changes from one batch to the next lies on the device at a fixed place: where the rows
/// begin, which batch is next, the carried state, the sums. The first steps of an epoch's shape are
/// done operation by operation, then one is captured. Where that fails, all steps are done that
/// way, and the callback says why.
class GraphStep : public TrainStep {
 public:
  /// Steps of one shape that are done before one is captured.
  static constexpr int kWarmUps = 3;

  /// Net, updater and progress must outlive the step. The sums of the progress and the carried
  /// state are the step's own memory once a batch of an epoch was trained on. `kernels` cut the
  /// batches; null: LibTorch does. `device_sum` adds up the gradients of ranks; null: a process
  /// alone.
  GraphStep(SequenceModel& net, Updater& updater, TrainProgress& progress,
            const StepOptions& options, std::unique_ptr<CudaGraph> graph,
            FallbackCallback on_fallback, const CudaKernels* kernels = nullptr,
            std::unique_ptr<DeviceSum> device_sum = nullptr);

  /// Operation by operation.
  void run(const Batch& batch, bool reset_state) override;
  void run_batch(const Epoch& epoch, int64_t k) override;

  void wait() override { work_.gradient_sum().wait(); }

  bool is_captured() const override { return captured_; }

 private:
  // Makes room for epochs like this one, and forgets what was captured for others.
  void prepare(const Epoch& epoch);
  // Puts the device where batch k of the epoch begins.
  void begin(const Epoch& epoch, int64_t k);
  // Moves the progress' sums into the step's own, if they are others.
  void own_sums();
  // One step, by the device's memory alone.
  void train();
  // The next batch's tokens and those after, (T + 1, B) int64; then the one after it is next.
  torch::Tensor cut_batch();
  void capture();

  DeviceWork work_;  // outlives the graph, which has captured its sums
  TrainProgress& progress_;
  std::unique_ptr<CudaGraph> graph_;  // null once it is known to be of no use
  FallbackCallback on_fallback_;
  const CudaKernels* kernels_;  // or null
  Workspace workspace_;
  bool can_capture_ = true;
  bool captured_ = false;
  int warm_ups_ = 0;
  int64_t tokens_ = 0;  // of a whole batch of the epochs below

  // Of the epochs that the memory below is for.
  std::optional<Epoch> epoch_;
  int64_t next_ = 0;  // the batch at position_

  torch::Tensor corpus_;
  torch::Tensor starts_;    // (batches or more, B) int64
  torch::Tensor position_;  // (1) int64: which batch is next
  torch::Tensor steps_;     // (T + 1, 1) int64: 0, 1, ...
  State carry_;
  Sums sums_;  // the tensors; counts are the progress'
};

}  // namespace unroll
