#pragma once

#include <torch/types.h>

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

/// Whether our kernels certainly compute training steps of such a layer in float32 faster than
/// cuDNN on a GPU like the one where it was measured (docs/gpu.md), of compute capability 9.0.
bool kernels_are_faster(CellKind cell, int64_t batch_size, int64_t hidden);

/// Whether cuDNN probably does: an estimate by the same figures for every shape.
bool cudnn_is_faster(CellKind cell, int64_t batch_size, int64_t hidden);

/// How steps are timed on a device.
struct StepTiming {
  /// A graph to capture a step with; empty: steps are not captured.
  std::function<std::unique_ptr<CudaGraph>()> make_graph = {};
  /// Waits until the device has done all its work.
  std::function<void()> wait = [] {};
};

/// Median seconds of a training step of B sequences by each engine, taken in turns; infinite for
/// one that fails. It trains nothing and draws nothing: weights, gradients and LibTorch's generator
/// of the device stay as they are.
std::vector<double> step_seconds(std::span<Engine* const> engines, SequenceModel& model,
                                 int64_t batch_size, const StepTiming& timing);

}  // namespace unroll
