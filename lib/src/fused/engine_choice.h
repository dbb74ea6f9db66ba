#pragma once

#include <torch/types.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <span>
#include <vector>

#include "cuda_part/cuda_graph.h"
#include "fused/engine.h"
#include "kernels/cell_table.h"
#include "unroll/model.h"

namespace unroll {

/// Whether our kernels were measured to compute training steps of such a layer in float32 faster
/// than cuDNN, on a GPU of compute capability 9.0 (docs/gpu.md).
bool kernels_are_faster(CellKind cell, int64_t batch_size, int64_t hidden);

/// Whether cuDNN is faster, as the same figures let one estimate for every shape.
bool cudnn_is_faster(CellKind cell, int64_t batch_size, int64_t hidden);

/// How steps are timed on a device.
struct StepTiming {
  /// A graph to capture a step with; empty: steps are not captured.
  std::function<std::unique_ptr<CudaGraph>()> make_graph = {};
  /// Waits until the device has done all its work.
  std::function<void()> wait = [] {};
  /// The time in seconds.
  std::function<double()> now = [] {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch())
        .count();
  };
};

/// Median seconds of a training step of B sequences of 35 tokens by each engine, taken in turns;
/// infinite for one that has no memory or cannot do it. It trains nothing and draws nothing:
/// weights, gradients and LibTorch's generator of the device stay as they are.
std::vector<double> step_seconds(std::span<Engine* const> engines, SequenceModel& model,
                                 int64_t batch_size, const StepTiming& timing);

}  // namespace unroll
