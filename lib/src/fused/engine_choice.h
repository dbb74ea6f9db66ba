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
#include "unroll/model.h"

namespace unroll {

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
